// Kernels with which the stand-in runtime is tested, by the addresses that cudaLaunchKernel takes.
#pragma once

namespace lockstep::ptx {

const void* multiply_add_kernel();  // (int* x, int factor, int term): *x = *x * factor + term
const void* write_kernel();         // (int* x, long at): x[at] = 1
const void* shared_kernel();        // (int* x): dynamic shared memory
const void* bounded_kernel();       // (int* x): __launch_bounds__(64)

}  // namespace lockstep::ptx
