// Package race has what the benchmarks of the write side share: an order
// aggregate, the workloads that drive it, and the race in which contestants are
// measured in turns and judged. The program in benchmarks enters foldstream
// alone, the module benchmarks/peers also other libraries.
package race
