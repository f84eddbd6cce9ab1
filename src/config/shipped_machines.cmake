# cmake -D OUT=file.cpp -D FOLDER=machines -P shipped_machines.cmake: the machine files as texts of the program.
file(GLOB files ${FOLDER}/*.toml)
list(SORT files)
set(rows)
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} text)
  string(APPEND rows "      {\"${name}\", R\"machine(${text})machine\"},\n")
endforeach()
file(WRITE ${OUT} "#include \"lockstep/config/machine.h\"

namespace lockstep::config {

const std::vector<ShippedMachine>& shipped_machines() {
  static const std::vector<ShippedMachine> kMachines{
${rows}  };
  return kMachines;
}

}  // namespace lockstep::config
")
