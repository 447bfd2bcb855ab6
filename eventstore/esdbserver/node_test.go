package esdbserver_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

// The official client for Node is a second opinion on the protocol. make
// test-node installs it and says where with FOLDSTREAM_NODE_MODULES.
func TestNodeClient(t *testing.T) {
	modules := os.Getenv("FOLDSTREAM_NODE_MODULES")
	if modules == "" {
		t.Skip("needs Node and its client: make test-node installs and runs it")
	}
	script, err := filepath.Abs(filepath.Join("testdata", "node", "client.test.cjs"))
	require.NoError(t, err)
	log, err := logstore.Open(t.TempDir(), &logstore.Options{MaxAppendSize: 4 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	for name, store := range map[string]eventstore.Store{"memstore": memstore.New(nil), "logstore": log} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, store, nil)
			cmd := exec.CommandContext(t.Context(), "node", "--test", script)
			cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "ESDB_URL=esdb://"+s.addr+"?tls=false")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			t.Logf("%s", out)
		})
	}
}
