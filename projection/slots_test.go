package projection

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Slots hold what a map would, with hashes that collide and keys of all
// lengths, while entries come and go.
func TestSlotsAreAMap(t *testing.T) {
	t.Parallel()
	for _, collide := range []uint64{1, 7, 1 << 40} {
		rnd := rand.New(rand.NewPCG(1, collide))
		var s slots[int]
		want := map[string]*cacheEntry[int]{}
		for range 20_000 {
			key := fmt.Sprintf("%0*d", 1+rnd.IntN(40), rnd.IntN(500))
			hash := hashOf(key) % collide
			e := want[key]
			require.Same(t, e, s.find(hash, key))
			switch {
			case e == nil:
				e = &cacheEntry[int]{hash: hash}
				e.keep(key)
				s.add(hash, e)
				want[key] = e
			case rnd.IntN(3) > 0:
				s.remove(hash, e)
				delete(want, key)
			}
			require.Equal(t, len(want), s.n)
		}
		for key, e := range want {
			require.Same(t, e, s.find(hashOf(key)%collide, key))
			require.Equal(t, key, e.key)
		}
	}
}
