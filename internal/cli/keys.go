package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec/shred/keydir"
)

// A keysCommand is what its subcommands share.
type keysCommand struct {
	outputFlags

	List   keysListCommand   `cmd:"" help:"List the keys, or those of some subjects."`
	Erase  keysEraseCommand  `cmd:"" help:"Erase all personal data of a subject by destroying its key."`
	Rotate keysRotateCommand `cmd:"" help:"Encrypt all keys with another master key."`
	Stats  keysStatsCommand  `cmd:"" help:"Count the keys."`
}

// Help implements kong.HelpProvider.
func (*keysCommand) Help() string {
	return `Works on a directory with the keys of data subjects: what keydir.Open is given.
Applications may have it open. Subjects are named by a salted hash in it; give
their ids to find them.`
}

// open opens a directory that is there.
func (*keysCommand) open(dir string, opts *keydir.Options) (*keydir.Dir, error) {
	opts.MustExist = true
	d, err := keydir.Open(dir, opts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, reword(err, fmt.Sprintf("%s holds no keys; give the directory of keydir.Open", dir))
	}
	return d, err
}

// keyLine is a key for programs.
type keyLine struct {
	Subject string     `json:"subject,omitempty"` // if it was asked for
	File    string     `json:"file"`
	State   string     `json:"state"`
	ID      string     `json:"id,omitempty"`
	Keys    int        `json:"keys"`
	Made    *time.Time `json:"made,omitempty"`
	Erased  *time.Time `json:"erased,omitempty"`
	Master  string     `json:"master,omitempty"`
}

// States of a subject.
const (
	keyStateKey     = "key"
	keyStateErased  = "erased"
	keyStateNone    = "none"
	keyStateDamaged = "damaged"
)

func keyLineOf(e *keydir.Entry) keyLine {
	l := keyLine{File: e.File, State: keyStateKey, Keys: e.Keys, Master: e.Master}
	if !e.ID.IsZero() {
		l.ID = e.ID.String()
	}
	if !e.Made.IsZero() {
		l.Made = &e.Made
	}
	if !e.Erased.IsZero() {
		l.State, l.Erased = keyStateErased, &e.Erased
	}
	return l
}

type keysListCommand struct {
	Dir     string   `arg:"" help:"Directory of the keys."`
	Subject []string `arg:"" optional:"" help:"Ids of subjects, such as customer/ada; by default all."`
	Erased  bool     `help:"Only those that are erased."`
}

// Help implements kong.HelpProvider.
func (*keysListCommand) Help() string {
	return `KEYS counts the keys that the subject has had; MASTER names the master key that
the current one is encrypted with. It needs no master key.

Examples:

  foldstream keys list ./keys customer/ada
  foldstream keys list ./keys --erased --json | jq -r .erased`
}

// Run prints the keys.
func (c *keysListCommand) Run(ctx context.Context, k *keysCommand, w *world) error {
	d, err := k.open(c.Dir, &keydir.Options{})
	if err != nil {
		return err
	}
	lines, err := c.find(ctx, d)
	if err != nil {
		return err
	}
	if !k.table(w) {
		return printLines(w, lines)
	}
	t := newTable(w.out, column{title: "SUBJECT"}, column{title: "STATE"}, column{"KEYS", true}, column{title: "MADE"}, column{title: "ERASED"}, column{title: "MASTER"})
	for i := range lines {
		l := &lines[i]
		name := l.Subject
		if name == "" {
			name = l.File[:16] + "…"
		}
		if err := t.add(shown(name, maxName), l.State, strconv.Itoa(l.Keys), whenText(l.Made), whenText(l.Erased), l.Master); err != nil {
			return err
		}
	}
	return t.flush()
}

func whenText(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Format(timeFormat)
}

// find returns what was asked for: a line for each subject that was named.
func (c *keysListCommand) find(ctx context.Context, d *keydir.Dir) ([]keyLine, error) {
	var lines []keyLine
	add := func(l keyLine) {
		if !c.Erased || l.State == keyStateErased {
			lines = append(lines, l)
		}
	}
	for _, subject := range c.Subject {
		e, err := d.Entry(subject)
		l := keyLineOf(&e)
		switch {
		case errors.Is(err, eventstore.ErrCorrupt):
			l.State = keyStateDamaged
		case err != nil:
			return nil, err
		case e.Keys == 0 && e.Erased.IsZero():
			l.State = keyStateNone
		}
		l.Subject = subject
		add(l)
	}
	if len(c.Subject) > 0 {
		return lines, nil
	}
	for e, err := range d.Entries(ctx) {
		l := keyLineOf(&e)
		if errors.Is(err, eventstore.ErrCorrupt) {
			l.State = keyStateDamaged
		} else if err != nil {
			return nil, err
		}
		add(l)
	}
	return lines, nil
}

type keysEraseCommand struct {
	Dir     string   `arg:"" help:"Directory of the keys."`
	Subject []string `arg:"" help:"Ids of subjects, such as customer/ada."`
	Yes     bool     `short:"y" help:"Needed, because it cannot be undone."`
}

// Help implements kong.HelpProvider.
func (*keysEraseCommand) Help() string {
	return `What was sealed with the subject's key can never be read again, wherever it is,
and nothing more can be written about the subject. A subject without a key is
erased too: its data, if there is any, is given up. Running applications see it
within the MaxAge of their ring, 30 seconds by default. It needs no master key.

Views, snapshots and caches are another matter, see docs/erasure.md.

Example:

  foldstream keys erase ./keys customer/ada --yes`
}

// Validate implements kong's interface for that.
func (c *keysEraseCommand) Validate() error {
	if !c.Yes {
		return wrongUsage("the personal data of %q would be lost for ever; add --yes if that is meant", c.Subject)
	}
	return nil
}

type subjectSaid struct {
	Subject string `json:"subject"`
	Result  string `json:"result"`
}

// Run destroys keys.
func (c *keysEraseCommand) Run(ctx context.Context, k *keysCommand, w *world) error {
	d, err := k.open(c.Dir, &keydir.Options{})
	if err != nil {
		return err
	}
	for _, subject := range c.Subject {
		before, err := d.Entry(subject)
		if err != nil && !errors.Is(err, eventstore.ErrCorrupt) {
			return err
		}
		if err := d.Erase(ctx, subject); err != nil {
			return err
		}
		text := "erased"
		switch {
		case !before.Erased.IsZero():
			text = "erased before"
		case err == nil && before.Keys == 0:
			text = "erased; it had no key"
		}
		if err := k.say(w, fmt.Sprintf("%s: %s", shown(subject, maxName), text), subjectSaid{subject, text}); err != nil {
			return err
		}
	}
	return nil
}

type keysRotateCommand struct {
	Dir       string `arg:"" help:"Directory of the keys."`
	Master    string `env:"FOLDSTREAM_MASTER_KEY_FILE" placeholder:"FILE" help:"File of the new master key: 32 bytes in base64. Without it, the environment's FOLDSTREAM_MASTER_KEY."`
	OldMaster string `env:"FOLDSTREAM_OLD_MASTER_KEY_FILE" placeholder:"FILE" help:"File of the former one. Without it, FOLDSTREAM_OLD_MASTER_KEY; without both, keys that are not encrypted."`
}

// Help implements kong.HelpProvider.
func (*keysRotateCommand) Help() string {
	return `All applications must know both master keys before: the new one as Master, the
former in Old. It may be interrupted and repeated. Afterwards the former master
key can be taken away.

Examples:

  openssl rand -base64 32 > new.key
  foldstream keys rotate ./keys --master new.key --old-master old.key
  FOLDSTREAM_MASTER_KEY=… foldstream keys rotate ./keys`
}

// Run encrypts the keys anew.
func (c *keysRotateCommand) Run(ctx context.Context, k *keysCommand, w *world) error {
	master, err := masterKey(w, c.Master, "FOLDSTREAM_MASTER_KEY")
	if err != nil {
		return err
	}
	if master == nil {
		return wrongUsage("give the new master key, as --master or in FOLDSTREAM_MASTER_KEY")
	}
	opts := &keydir.Options{Master: master}
	old, err := masterKey(w, c.OldMaster, "FOLDSTREAM_OLD_MASTER_KEY")
	if err != nil {
		return err
	}
	if old != nil {
		opts.Old = [][]byte{old}
	}
	d, err := k.open(c.Dir, opts)
	if err != nil {
		return err
	}
	n, err := d.Rotate(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = errInterrupted
	}
	if err != nil {
		return fmt.Errorf("%s encrypted anew before this: %w", counted(n, "key"), err)
	}
	return k.say(w, fmt.Sprintf("%s encrypted anew, with master key %s", counted(n, "key"), d.MasterName()), struct {
		Rotated int    `json:"rotated"`
		Master  string `json:"master"`
	}{n, d.MasterName()})
}

// masterKey reads a master key from a file or the environment, where command
// lines of others cannot be seen. It may be nil.
func masterKey(w *world, file, env string) ([]byte, error) {
	if file != "" {
		return keydir.ReadMaster(file)
	}
	text := w.getenv(env)
	if text == "" {
		return nil, nil
	}
	key, err := keydir.ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", env, err)
	}
	return key, nil
}

type keysStatsCommand struct {
	Dir string `arg:"" help:"Directory of the keys."`
}

// Help implements kong.HelpProvider.
func (*keysStatsCommand) Help() string {
	return `PLAIN counts keys that are encrypted with no master key, MASTERS the master keys
that are needed. It needs none itself.

Example:

  foldstream keys stats ./keys --json`
}

// Run counts.
func (c *keysStatsCommand) Run(ctx context.Context, k *keysCommand, w *world) error {
	d, err := k.open(c.Dir, &keydir.Options{})
	if err != nil {
		return err
	}
	var s struct {
		Subjects int            `json:"subjects"`
		Keys     int            `json:"keys"`
		Erased   int            `json:"erased"`
		Damaged  int            `json:"damaged"`
		Plain    int            `json:"plain"`
		Masters  map[string]int `json:"masters"`
	}
	s.Masters = map[string]int{}
	for e, err := range d.Entries(ctx) {
		s.Subjects++
		switch {
		case errors.Is(err, eventstore.ErrCorrupt):
			s.Damaged++
		case err != nil:
			return err
		case !e.Erased.IsZero():
			s.Erased++
		case e.Master == "":
			s.Keys++
			s.Plain++
		default:
			s.Keys++
			s.Masters[e.Master]++
		}
	}
	if !k.table(w) {
		return newEncoder(w.out).Encode(s)
	}
	t := newTable(w.out, column{"SUBJECTS", true}, column{"KEYS", true}, column{"ERASED", true}, column{"DAMAGED", true}, column{"PLAIN", true}, column{"MASTERS", true})
	if err := t.add(strconv.Itoa(s.Subjects), strconv.Itoa(s.Keys), strconv.Itoa(s.Erased), strconv.Itoa(s.Damaged), strconv.Itoa(s.Plain), strconv.Itoa(len(s.Masters))); err != nil {
		return err
	}
	return t.flush()
}
