package logstore_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Environment variables of the tests that torture a store with random numbers.
const (
	soakTime   = "LOGSTORE_SOAK" // for how long each of them goes on, such as 10m, instead of some rounds; make soak sets it
	tortureOne = "LOGSTORE_SEED" // the seed of the only round, to look at one that failed
)

// rounds yields seeds, short of them, or as many as fit into the time for
// which to soak. It tells the seed of the round that fails.
func rounds(t *testing.T, short int) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		var seed uint64
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("again: %s=%d go test -run %s ./eventstore/logstore", tortureOne, seed, t.Name())
			}
		})
		if one, err := strconv.ParseUint(os.Getenv(tortureOne), 10, 64); err == nil {
			seed = one
			yield(seed)
			return
		}
		soak, err := time.ParseDuration(os.Getenv(soakTime))
		soaks := err == nil
		start, told := time.Now(), time.Now()
		for n := 0; soaks && time.Since(start) < soak || !soaks && n < short; n++ {
			seed = rand.Uint64()
			if !yield(seed) {
				return
			}
			if soaks && time.Since(told) > 10*time.Second {
				told = time.Now()
				fmt.Fprintf(os.Stderr, "%s: %d rounds in %s of %s\n", t.Name(), n+1, time.Since(start).Round(time.Second), soak)
			}
		}
	}
}
