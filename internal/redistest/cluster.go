package redistest

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	slots          = 16384
	clusterTimeout = 30 * time.Second
)

// StartCluster starts a Redis Cluster of n masters without replicas, and
// returns a client of it.
func StartCluster(tb testing.TB, n int) *redis.ClusterClient {
	tb.Helper()
	addrs := make([]string, n)
	nodes := make([]*redis.Client, n)
	for i := range nodes {
		srv := Start(tb, Args("--cluster-enabled", "yes", "--cluster-node-timeout", "5000"))
		addrs[i], nodes[i] = srv.Addr(), srv.Client(tb)
		if err := nodes[i].ClusterAddSlotsRange(tb.Context(), i*slots/n, (i+1)*slots/n-1).Err(); err != nil {
			tb.Fatalf("redistest: give node %d its slots: %v", i, err)
		}
	}
	host, port, _ := net.SplitHostPort(addrs[0])
	for i, node := range nodes[1:] {
		// Epochs of their own spare the nodes a quarrel about them.
		if err := node.Do(tb.Context(), "cluster", "set-config-epoch", i+2).Err(); err != nil {
			tb.Fatalf("redistest: epoch of a node: %v", err)
		}
		if err := node.ClusterMeet(tb.Context(), host, port).Err(); err != nil {
			tb.Fatalf("redistest: join a node: %v", err)
		}
	}
	awaitCluster(tb, nodes)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	tb.Cleanup(func() { _ = rdb.Close() }) // a test may have closed it
	return rdb
}

// awaitCluster waits until every node knows an owner for every slot.
func awaitCluster(tb testing.TB, nodes []*redis.Client) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(clusterTimeout)
	for _, node := range nodes {
		for !strings.Contains(node.ClusterInfo(tb.Context()).Val(), "cluster_state:ok") {
			select {
			case <-tick.C:
			case <-timeout:
				tb.Fatalf("redistest: the cluster is not complete after %s: %s", clusterTimeout, node.ClusterInfo(tb.Context()).Val())
			}
		}
	}
}
