package redistest

import (
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const slots = 16384

// A Cluster is a Redis Cluster that ends with its test.
type Cluster struct {
	tb    testing.TB
	addrs []string
	nodes []*redis.Client
	ids   []string // what the nodes call each other
}

// StartCluster starts a Redis Cluster of n masters without replicas, and
// returns a client of it.
func StartCluster(tb testing.TB, n int) *redis.ClusterClient {
	tb.Helper()
	return StartClusterNodes(tb, n).Client(tb)
}

// StartClusterNodes starts a Redis Cluster of n masters without replicas.
func StartClusterNodes(tb testing.TB, n int) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	for i := range n {
		srv := Start(tb, Args("--cluster-enabled", "yes", "--cluster-node-timeout", "5000"))
		node := srv.Client(tb)
		c.addrs, c.nodes = append(c.addrs, srv.Addr()), append(c.nodes, node)
		if err := node.ClusterAddSlotsRange(tb.Context(), i*slots/n, (i+1)*slots/n-1).Err(); err != nil {
			tb.Fatalf("redistest: give node %d its slots: %v", i, err)
		}
		id, err := node.ClusterMyID(tb.Context()).Result()
		if err != nil {
			tb.Fatalf("redistest: id of node %d: %v", i, err)
		}
		c.ids = append(c.ids, id)
	}
	c.join()
	return c
}

func (c *Cluster) join() {
	c.tb.Helper()
	ctx := c.tb.Context()
	host, port, _ := net.SplitHostPort(c.addrs[0])
	for i, node := range c.nodes[1:] {
		// Epochs of their own spare the nodes a quarrel about them.
		if err := node.Do(ctx, "cluster", "set-config-epoch", i+2).Err(); err != nil {
			c.tb.Fatalf("redistest: epoch of a node: %v", err)
		}
		if err := node.ClusterMeet(ctx, host, port).Err(); err != nil {
			c.tb.Fatalf("redistest: join a node: %v", err)
		}
	}
	for _, node := range c.nodes {
		await(c.tb, "an owner for every slot", func() bool {
			info := node.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok")
		})
	}
}

// Client returns a client that is closed when the test has ended.
func (c *Cluster) Client(tb testing.TB) *redis.ClusterClient {
	tb.Helper()
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs})
	tb.Cleanup(func() { _ = rdb.Close() }) // a test may have closed it
	return rdb
}

// User makes a user with the rules of ACL SETUSER on each node and returns a
// client of it.
func (c *Cluster) User(tb testing.TB, name, password string, rules ...string) *redis.ClusterClient {
	tb.Helper()
	args := setUser(name, password, rules)
	for i := range c.nodes {
		c.do(i, args...)
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs, Username: name, Password: password})
	tb.Cleanup(func() { _ = rdb.Close() }) // a test may have closed it
	return rdb
}

// Addrs returns host and port of each node.
func (c *Cluster) Addrs() []string { return c.addrs }

// Slot returns the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.tb.Helper()
	slot, err := c.nodes[0].ClusterKeySlot(c.tb.Context(), key).Result()
	if err != nil {
		c.tb.Fatalf("redistest: slot of key %q: %v", key, err)
	}
	return int(slot)
}

// Owner returns the number of the node that has a slot, as the node itself
// knows it.
func (c *Cluster) Owner(slot int) int {
	c.tb.Helper()
	for i, node := range c.nodes {
		shards, err := node.ClusterShards(c.tb.Context()).Result()
		if err != nil {
			c.tb.Fatalf("redistest: shards of node %d: %v", i, err)
		}
		for _, shard := range shards {
			if shard.Nodes[0].ID != c.ids[i] {
				continue
			}
			for _, r := range shard.Slots {
				if int(r.Start) <= slot && slot <= int(r.End) {
					return i
				}
			}
		}
	}
	c.tb.Fatalf("redistest: no node has slot %d", slot)
	return 0
}

// MoveSlot moves a slot with its keys to another node, as redis-cli does it:
// a few keys at a time, while clients go on. During is called after the first
// keys are moved and may be nil.
func (c *Cluster) MoveSlot(slot, to int, during func()) {
	c.tb.Helper()
	from := c.Owner(slot)
	if from == to {
		return
	}
	c.do(to, "cluster", "setslot", slot, "importing", c.ids[from])
	c.do(from, "cluster", "setslot", slot, "migrating", c.ids[to])
	host, port, _ := net.SplitHostPort(c.addrs[to])
	for {
		keys, err := c.nodes[from].ClusterGetKeysInSlot(c.tb.Context(), slot, 2).Result()
		if err != nil {
			c.tb.Fatalf("redistest: keys in slot %d: %v", slot, err)
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"migrate", host, port, "", 0, 10_000, "keys"}
		for _, key := range keys {
			args = append(args, key)
		}
		c.do(from, args...)
		if during != nil {
			during()
			during = nil
		}
	}
	c.do(to, "cluster", "setslot", slot, "node", c.ids[to])
	c.do(from, "cluster", "setslot", slot, "node", c.ids[to])
	for i := range c.nodes {
		if i != to && i != from {
			c.do(i, "cluster", "setslot", slot, "node", c.ids[to])
		}
	}
}

func (c *Cluster) do(node int, args ...any) {
	c.tb.Helper()
	if err := c.nodes[node].Do(c.tb.Context(), args...).Err(); err != nil {
		c.tb.Fatalf("redistest: %v on node %d: %v", args[:3], node, err)
	}
}
