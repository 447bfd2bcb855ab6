package logstore_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/logstore"
)

// The environment variables that make this test binary the child that writes
// to a directory until it is killed, and number its entries from the second.
const (
	crashDir   = "LOGSTORE_CRASH_DIR"
	crashFirst = "LOGSTORE_CRASH_FIRST"
	crashGaps  = "LOGSTORE_CRASH_SCAVENGES" // whether it scavenges
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var crashOptions = &logstore.Options{SegmentSize: small}

// writeUntilKilled makes changes from several callers and reports them on the
// standard output. It closes the store, under the callers, when the standard
// input ends.
func writeUntilKilled(dir string) error {
	first, err := strconv.Atoi(os.Getenv(crashFirst))
	if err != nil {
		return err
	}
	s, err := logstore.Open(dir, crashOptions)
	if err != nil {
		return err
	}
	l := newLedger(func() int { return 1 })
	l.first, l.gaps = first, os.Getenv(crashGaps) == "true"
	out := json.NewEncoder(os.Stdout) // the ledger's lock is held
	l.tell = func(r report) { _ = out.Encode(r) }
	for range 8 {
		go func() {
			for rnd := rand.New(rand.NewPCG(rand.Uint64(), 0)); ; {
				l.change(s, rnd)
			}
		}()
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return s.Close()
}

// A process that is killed, or closes its store, loses nothing and leaves
// nothing half done, also when index files get lost or damaged afterwards.
func TestTortureKilledProcess(t *testing.T) {
	t.Parallel()
	for seed := range rounds(t, 1) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		k := &killer{t: t, dir: t.TempDir(), rnd: rnd, ledger: newLedger(func() int { return 1 })}
		k.gaps = rnd.IntN(2) == 0
		killed := 4
		if os.Getenv(soakTime) != "" {
			killed = 20
		}
		for range killed {
			before := len(k.entries)
			k.runAndKill()
			require.Greater(t, len(k.entries), before, "the child must get something done")
			k.damageIndexes()
			k.lookAfter()
		}
		t.Logf("%d kills, %d calls, %d events", killed, len(k.entries), k.heads[0].head)
		require.NoError(t, os.RemoveAll(k.dir))
	}
}

type killer struct {
	t   *testing.T
	dir string
	rnd *rand.Rand
	*ledger
}

// runAndKill runs the child, ends it at a random moment after its first
// acknowledgement, and hears what it reports.
func (k *killer) runAndKill() {
	t := k.t
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+k.dir, crashFirst+"="+strconv.Itoa(len(k.entries)), crashGaps+"="+strconv.FormatBool(k.gaps))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	gently := k.rnd.IntN(4) == 0
	end := func() {
		if gently {
			_ = in.Close()
		} else {
			_ = cmd.Process.Kill()
		}
	}
	var timer *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			assert.False(t, lines.Scan(), "only the last line may be torn: %s", lines.Text())
			break
		}
		k.hear(r)
		if r.End && timer == nil {
			k.lookOn()
			timer = time.AfterFunc(time.Duration(k.rnd.Int64N(int64(120*time.Millisecond))), end)
		}
	}
	err = cmd.Wait()
	require.NotNil(t, timer, "the child did nothing")
	if gently {
		require.NoError(t, err)
	} else {
		require.Error(t, err, "killed")
	}
}

// lookOn opens the store beside the child that writes to it.
func (k *killer) lookOn() {
	k.t.Helper()
	s, err := logstore.Open(k.dir, &logstore.Options{ReadOnly: true})
	require.NoError(k.t, err)
	defer func() { require.NoError(k.t, s.Close()) }()
	checkLog(k.t, s, k.gaps)
}

// damageIndexes removes or damages some index files.
func (k *killer) damageIndexes() {
	t := k.t
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.dir, "*.idx"))
	require.NoError(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		switch k.rnd.IntN(12) {
		case 0:
			require.NoError(t, os.Remove(file))
		case 1:
			b[k.rnd.IntN(len(b))] ^= 1 << k.rnd.IntN(8)
			require.NoError(t, os.WriteFile(file, b, 0o644))
		case 2:
			require.NoError(t, os.Truncate(file, k.rnd.Int64N(int64(len(b)))))
		}
	}
}

// lookAfter opens the store and holds it against what the child reported.
func (k *killer) lookAfter() {
	k.t.Helper()
	s, err := logstore.Open(k.dir, crashOptions)
	require.NoError(k.t, err)
	defer func() { require.NoError(k.t, s.Close()) }()
	k.check(k.t, s)
}
