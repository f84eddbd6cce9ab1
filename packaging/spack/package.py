# A Spack recipe for Lockstep. NOT RUN YET: written from Spack's manual; nobody has built by it so far.
#
#   spack repo create lockstep-repo && mkdir -p lockstep-repo/packages/lockstep
#   cp packaging/spack/package.py lockstep-repo/packages/lockstep && spack repo add lockstep-repo
#   spack dev-build lockstep@0.1.0          # in the top folder of the source
from spack.package import *


class Lockstep(CMakePackage, CudaPackage):
    """Trains neural networks from HDF5 data with MPI: the same bits on any number of ranks."""

    version("0.1.0")

    variant("sentencepiece", default=True, description="Byte-pair encoding of text")
    variant("png", default=True, description="Import of folders of PNG files")
    variant("netcdf", default=True, description="Import of NetCDF files")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("mpi@3.1:")
    depends_on("hdf5@1.10.8:+mpi+hl")
    depends_on("onednn@2.7:2 cpu_runtime=seq")
    depends_on("cli11@2.1:", type="build")
    depends_on("tomlplusplus@3.1:", type="build")
    depends_on("fmt@9:")
    depends_on("nlohmann-json@3.10:", type="build")
    depends_on("xxhash")
    depends_on("zlib-api")
    depends_on("sentencepiece", when="+sentencepiece")
    depends_on("libpng", when="+png")
    depends_on("netcdf-c", when="+netcdf")
    depends_on("zstd")
    depends_on("lz4")
    depends_on("cuda@12.4:", when="+cuda")
    depends_on("cudnn@9:", when="+cuda")

    generator("ninja")

    def cmake_args(self):
        arguments = [
            self.define_from_variant("LOCKSTEP_CUDA", "cuda"),
            self.define_from_variant("LOCKSTEP_SENTENCEPIECE", "sentencepiece"),
            self.define_from_variant("LOCKSTEP_PNG", "png"),
            self.define_from_variant("LOCKSTEP_NETCDF", "netcdf"),
            self.define("LOCKSTEP_BUILD_TESTS", self.run_tests),
            self.define("LOCKSTEP_BUILD_BENCHMARKS", False),
        ]
        if self.spec.satisfies("+cuda"):
            architectures = self.spec.variants["cuda_arch"].value
            if "none" not in architectures:
                arguments.append(self.define("CMAKE_CUDA_ARCHITECTURES", ";".join(architectures)))
        return arguments
