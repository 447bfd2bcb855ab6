package keydir_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec/shred/keydir"
)

// childDir makes this test binary the child that works until it is killed.
const childDir = "FOLDSTREAM_KEYDIR_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Println(work(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// masters are two; a child uses either, at random, and rotates to it.
var masters = [][]byte{[]byte("the first master key of 32 bytes"), []byte("the other master key of 32 bytes")}

func options() *keydir.Options {
	i := rand.IntN(2)
	return &keydir.Options{Master: masters[i], Old: masters[1-i : 2-i]}
}

// work makes, erases, admits and rotates keys, and says what is done.
func work(ctx context.Context, dir string) error {
	d, err := keydir.Open(dir, options())
	for i := 0; err == nil; i++ {
		subject := fmt.Sprint(rand.IntN(40))
		switch n := rand.IntN(20); {
		case n < 10:
			keys, admitErr := d.Admit(ctx, subject)
			err = admitErr
			fmt.Println("key", subject, keys.Current.ID)
		case n < 19:
			fmt.Println("erasing", subject)
			err = d.Erase(ctx, subject)
			fmt.Println("erased", subject)
		default:
			_, err = d.Rotate(ctx)
		}
	}
	return err
}

// A process that works on the directory is killed at any moment, again and
// again. What it has said is done is so.
func TestNothingIsLostToAKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	said := map[string]string{} // subject to its key, or what became of it
	for range 4 {
		for _, line := range runAndKill(t, dir) {
			var what, subject, id string
			n, _ := fmt.Sscan(line, &what, &subject, &id)
			require.GreaterOrEqual(t, n, 2, line)
			switch what {
			case "key":
				if old := said[subject]; old != "erased" && old != "erasing" && old != "" {
					require.Equal(t, old, id, "subject %s has lost its key", subject)
				}
				said[subject] = id
			case "erasing", "erased":
				said[subject] = what
			default:
				t.Fatal(line)
			}
		}
		d, err := keydir.Open(dir, options())
		require.NoError(t, err)
		for subject, want := range said {
			keys, err := d.Find(t.Context(), subject)
			require.NoError(t, err)
			switch want {
			case "erasing":
			case "erased": // and perhaps admitted again, if the kill came before the word
				require.False(t, keys.Since.IsZero(), subject)
			default:
				require.Equal(t, want, keys.Current.ID.String(), subject)
			}
		}
		for _, err := range d.Entries(t.Context()) {
			require.NotErrorIs(t, err, eventstore.ErrCorrupt)
		}
	}
}

// runAndKill runs a child for a moment after its first word, and returns what
// it has said in whole lines.
func runAndKill(t *testing.T, dir string) (lines []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r := bufio.NewReader(out)
	var timer *time.Timer
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		if timer == nil {
			timer = time.AfterFunc(rand.N(100*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
		lines = append(lines, line)
	}
	require.NotNil(t, timer, "the child did nothing")
	timer.Stop()
	require.ErrorContains(t, cmd.Wait(), "killed")
	return lines
}
