// Runs one kernel of kernels/faults.cu under the race or the address check: `checked KERNEL
// [argument]`. What the checker says is the test (CMakeLists.txt).
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/ptx/launch.h"

int main(int count, char** arguments) {
  using lockstep::ptx::launch;
  const std::string kernel = count > 1 ? arguments[1] : "";
  const int argument = count > 2 ? std::atoi(arguments[2]) : 0;
  const std::unique_ptr<float[]> x(new float[64]()), y(new float[64]());
  if (kernel == "same_element" || kernel == "neighbour")
    launch(kernel.c_str(), kernel == "neighbour" ? 1 : 4, 32, 0, x.get(), argument);
  else if (kernel == "reads_beyond")
    launch(kernel.c_str(), 1, 64, 0, x.get(), y.get(), 64, argument);
  else
    launch(kernel.c_str(), 1, 64, 0, x.get());
  std::puts("ended");
  return 0;
}
