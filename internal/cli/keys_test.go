package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore/codec/shred/keydir"
	"github.com/foldstream/foldstream/internal/cli"
)

// keysRun carries out foldstream keys.
func keysRun(t *testing.T, args ...string) result {
	t.Helper()
	var out, notes bytes.Buffer
	code := cli.Run(t.Context(), append([]string{"keys"}, args...), strings.NewReader(""), &out, &notes)
	return result{code, out.String(), notes.String()}
}

func keysMust(t *testing.T, args ...string) string {
	t.Helper()
	got := keysRun(t, args...)
	require.Zero(t, got.code, got.err)
	return got.out
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	var files [2]string
	var masters [2][]byte
	for i := range masters {
		text := keydir.NewMaster()
		files[i] = filepath.Join(t.TempDir(), "master")
		require.NoError(t, os.WriteFile(files[i], []byte(text), 0o600))
		masters[i], _ = keydir.ParseMaster(text)
	}
	d, err := keydir.Open(dir, &keydir.Options{Master: masters[0]})
	require.NoError(t, err)
	for _, subject := range []string{"customer/ada", "customer/bob"} {
		_, err := d.Make(t.Context(), subject)
		require.NoError(t, err)
	}

	assert.JSONEq(t, `{"subjects":2,"keys":2,"erased":0,"damaged":0,"plain":0,"masters":{"`+d.MasterName()+`":2}}`, keysMust(t, "stats", dir))
	assert.Equal(t, 2, strings.Count(keysMust(t, "list", dir), "\n"))
	one := keysMust(t, "list", dir, "customer/ada", "customer/eve")
	assert.Contains(t, one, `"subject":"customer/ada","file":"`+d.FileOf("customer/ada")+`","state":"key"`)
	assert.Contains(t, one, `"subject":"customer/eve","file":"`+d.FileOf("customer/eve")+`","state":"none"`)

	refused := keysRun(t, "erase", dir, "customer/ada")
	assert.Equal(t, 2, refused.code)
	assert.Contains(t, refused.err, "add --yes")
	keys, err := d.Find(t.Context(), "customer/ada")
	require.NoError(t, err)
	assert.False(t, keys.Gone())
	assert.Equal(t, "customer/ada: erased\ncustomer/eve: erased; it had no key\n", keysMust(t, "erase", dir, "customer/ada", "customer/eve", "--yes", "-o", "table"))
	assert.JSONEq(t, `{"subject":"customer/ada","result":"erased before"}`, keysMust(t, "erase", dir, "customer/ada", "-y"))
	keys, err = d.Find(t.Context(), "customer/ada")
	require.NoError(t, err)
	assert.True(t, keys.Gone())
	assert.Equal(t, 2, strings.Count(keysMust(t, "list", dir, "--erased"), `"state":"erased"`))

	wrong := keysRun(t, "rotate", dir)
	assert.Equal(t, 2, wrong.code)
	assert.Contains(t, wrong.err, "FOLDSTREAM_MASTER_KEY")
	wrong = keysRun(t, "rotate", dir, "--master", files[1])
	assert.Equal(t, 1, wrong.code)
	assert.Contains(t, wrong.err, "master key is missing")
	now, err := keydir.Open(dir, &keydir.Options{Master: masters[1]})
	require.NoError(t, err)
	assert.JSONEq(t, `{"rotated":1,"master":"`+now.MasterName()+`"}`, keysMust(t, "rotate", dir, "--master", files[1], "--old-master", files[0]))
	_, err = now.Make(t.Context(), "customer/bob")
	require.NoError(t, err)

	path := filepath.Join(dir, d.FileOf("customer/bob")[:2], d.FileOf("customer/bob"))
	require.NoError(t, os.WriteFile(path, []byte("?"), 0o600))
	assert.Contains(t, keysMust(t, "list", dir), `"state":"damaged"`)
	assert.Contains(t, keysMust(t, "stats", dir, "-o", "table"), "DAMAGED")
	none := keysRun(t, "list", filepath.Join(dir, "none"))
	assert.Equal(t, 1, none.code)
	assert.Contains(t, none.err, "holds no keys")
}
