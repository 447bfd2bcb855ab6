package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/internal/redisproc"
)

// sentinelMaster is what the Sentinels call the master.
const sentinelMaster = "main"

// Sentinels watch a master and make one of its replicas the master when it
// does not answer for half a second. They end with their test.
type Sentinels struct {
	tb    testing.TB
	addrs []string
}

// StartSentinels starts n Sentinels of a master that has its replicas already,
// and returns when they know each other and the replicas.
func StartSentinels(tb testing.TB, n int, master *Server) *Sentinels {
	tb.Helper()
	host, port, _ := net.SplitHostPort(master.Addr())
	// The time for one fail-over is also how long a replica may be cut off on
	// purpose before a Sentinel has it follow again.
	config := fmt.Sprintf(`sentinel monitor %[1]s %[2]s %[3]s %[4]d
sentinel down-after-milliseconds %[1]s 500
sentinel failover-timeout %[1]s 60000
`, sentinelMaster, host, port, n/2+1)
	s := &Sentinels{tb: tb}
	var nodes []*Server
	for range n {
		node := Start(tb, func(o *redisproc.Options) { o.Sentinel = config })
		nodes, s.addrs = append(nodes, node), append(s.addrs, node.Addr())
	}
	for _, node := range nodes {
		await(tb, "the Sentinels know each other and the replicas", func() bool {
			text := node.info("sentinel")
			return strings.Contains(text, fmt.Sprintf("sentinels=%d", n)) && !strings.Contains(text, "slaves=0")
		})
	}
	return s
}

// Addrs returns host and port of each Sentinel.
func (s *Sentinels) Addrs() []string { return s.addrs }

// Options returns options for a client that asks the Sentinels where the
// master is.
func (s *Sentinels) Options() *redis.FailoverOptions {
	return &redis.FailoverOptions{MasterName: sentinelMaster, SentinelAddrs: s.addrs}
}

// Client returns a client that asks the Sentinels where the master is. It is
// closed when the test has ended.
func (s *Sentinels) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	rdb := redis.NewFailoverClient(s.Options())
	tb.Cleanup(func() { _ = rdb.Close() }) // a test may have closed it
	return rdb
}

// AwaitMaster waits until all Sentinels say that master is the master.
func (s *Sentinels) AwaitMaster(master *Server) {
	s.tb.Helper()
	for _, addr := range s.addrs {
		node := redis.NewSentinelClient(&redis.Options{Addr: addr})
		await(s.tb, "another master", func() bool {
			at, err := node.GetMasterAddrByName(s.tb.Context(), sentinelMaster).Result()
			return err == nil && net.JoinHostPort(at[0], at[1]) == master.Addr()
		})
		_ = node.Close()
	}
}
