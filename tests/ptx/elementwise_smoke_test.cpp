#include <gtest/gtest.h>
#include <cuda_runtime_api.h>
#include <vector>
#include "kernels/elementwise.h"
TEST(Elementwise, adds) {
  for (int n : {1, 7, 1000, 1023, 100000}) {
    std::vector<float> a(n), b(n), y(n);
    for (int i = 0; i < n; ++i) a[i] = i, b[i] = 2 * i;
    float *da, *db;
    cudaMalloc((void**)&da, n * 4); cudaMalloc((void**)&db, n * 4);
    cudaMemcpy(da, a.data(), n * 4, cudaMemcpyHostToDevice);
    cudaMemcpy(db, b.data(), n * 4, cudaMemcpyHostToDevice);
    lockstep::kernels::add(da, da, db, n, nullptr);
    cudaDeviceSynchronize();
    cudaMemcpy(y.data(), da, n * 4, cudaMemcpyDeviceToHost);
    for (int i = 0; i < n; ++i) ASSERT_EQ(y[i], 3.f * i);
    cudaFree(da); cudaFree(db);
  }
}
