package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/internal/redisproc"
)

// openRedis returns a client for the Redis that REDIS_URL names, or for one
// that it starts. close ends both.
func openRedis(ctx context.Context) (rdb *redis.Client, about string, closeAll func(), err error) {
	stop := func() {}
	opts := &redis.Options{}
	if url := os.Getenv("REDIS_URL"); url != "" {
		if opts, err = redis.ParseURL(url); err != nil {
			return nil, "", nil, fmt.Errorf("REDIS_URL: %w", err)
		}
	} else {
		server, err := redisproc.StartServer("", nil)
		if err != nil {
			return nil, "", nil, err
		}
		stop = func() { _ = server.Stop() }
		opts.Addr = server.Addr()
	}
	opts.DialerRetries = 1
	rdb = redis.NewClient(opts)
	closeAll = func() {
		_ = rdb.Close()
		stop()
	}
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		closeAll()
		return nil, "", nil, fmt.Errorf("redis at %s: %w", opts.Addr, err)
	}
	version := regexp.MustCompile(`redis_version:(\S+)`).FindStringSubmatch(info)
	if len(version) == 2 {
		about = "redis " + version[1]
	}
	return rdb, about, closeAll, nil
}

// hsetLimit runs redis-benchmark: HSET of random fields with values of a size,
// pipelined a thousand deep. It writes to and removes the key myhash.
func hsetLimit(ctx context.Context, rdb *redis.Client, keys, valueBytes int) (float64, error) {
	o := rdb.Options()
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return 0, err
	}
	args := []string{
		"-h", host, "-p", port, "--dbnum", strconv.Itoa(o.DB), "-t", "hset", "-P", "1000", "-n", "1000000",
		"-r", strconv.Itoa(keys), "-d", strconv.Itoa(valueBytes), "-q", "--csv",
	}
	if o.Username != "" {
		args = append(args, "--user", o.Username)
	}
	cmd := exec.CommandContext(ctx, "redis-benchmark", args...) //nolint:gosec // the arguments are ours
	if o.Password != "" {
		cmd.Env = append(os.Environ(), "REDISCLI_AUTH="+o.Password)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("redis-benchmark (Debian package redis-tools): %w %s", err, stderr.String())
	}
	if err := rdb.Unlink(ctx, "myhash").Err(); err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if fields[0] == `"HSET"` && len(fields) > 1 {
			return strconv.ParseFloat(strings.Trim(fields[1], `"`), 64)
		}
	}
	return 0, fmt.Errorf("redis-benchmark printed no HSET row: %q", out)
}
