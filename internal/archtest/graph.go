package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the import graph of one module, read from its sources, so that
// files for other systems and with other build tags count too.
type module struct {
	path     string
	direct   []string // modules that go.mod requires directly, sorted
	requires []string // all modules that go.mod requires
	packages []*pkg   // in the order of their paths
}

type pkg struct {
	path    string // relative to the module, "." for its root
	name    string
	imports []imp // of files that are not tests
	tests   []imp // of test files
}

// imp is one import of one file.
type imp struct {
	file string
	path string
}

// load reads the module whose root is fsys. Nested modules, testdata and
// hidden directories are not part of it.
func load(fsys fs.FS) (*module, error) {
	m := &module{}
	if err := m.readGoMod(fsys); err != nil {
		return nil, err
	}
	packages := map[string]*pkg{}
	err := fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file != "." && skipDir(fsys, file) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(file) != ".go" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			return nil
		}
		return readFile(fsys, file, packages)
	})
	for _, p := range packages {
		m.packages = append(m.packages, p)
	}
	slices.SortFunc(m.packages, func(a, b *pkg) int { return strings.Compare(a.path, b.path) })
	return m, err
}

func skipDir(fsys fs.FS, dir string) bool {
	name := path.Base(dir)
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func readFile(fsys fs.FS, file string, packages map[string]*pkg) error {
	src, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		return err
	}
	dir := path.Dir(file)
	p := packages[dir]
	if p == nil {
		p = &pkg{path: dir}
		packages[dir] = p
	}
	test := strings.HasSuffix(file, "_test.go")
	if !test {
		p.name = f.Name.Name
	}
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", file, spec.Path.Value, err)
		}
		if test {
			p.tests = append(p.tests, imp{file, name})
		} else {
			p.imports = append(p.imports, imp{file, name})
		}
	}
	return nil
}

// readGoMod understands what go mod tidy writes.
func (m *module) readGoMod(fsys fs.FS) error {
	src, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return err
	}
	block := ""
	for line := range strings.Lines(string(src)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "//"):
			continue
		case words[0] == ")":
			block = ""
			continue
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		switch {
		case words[0] == "module" && len(words) > 1:
			m.path = words[1]
		case words[0] == "require" && len(words) > 2:
			m.requires = append(m.requires, words[1])
			if !strings.Contains(line, "// indirect") {
				m.direct = append(m.direct, words[1])
			}
		}
	}
	slices.Sort(m.direct)
	return nil
}

// own returns the path of an imported package relative to the module, if it
// belongs to it.
func (m *module) own(imported string) (string, bool) {
	if imported == m.path {
		return ".", true
	}
	return strings.CutPrefix(imported, m.path+"/")
}

// thirdParty returns the module that an imported package belongs to, if it is
// neither of this module nor of the standard library.
func (m *module) thirdParty(imported string) (string, bool) {
	if _, own := m.own(imported); own {
		return "", false
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return "", false
	}
	longest := ""
	for _, r := range m.requires {
		if (imported == r || strings.HasPrefix(imported, r+"/")) && len(r) > len(longest) {
			longest = r
		}
	}
	if longest == "" {
		longest = imported // not in go.mod yet
	}
	return longest, true
}

// matches reports whether a package path is meant by a pattern.
func matches(pattern, pkgPath string) bool {
	if pattern == "..." || pattern == pkgPath {
		return true
	}
	root, deep := strings.CutSuffix(pattern, "/...")
	return deep && (pkgPath == root || strings.HasPrefix(pkgPath, root+"/"))
}

func matchesAny(patterns []string, pkgPath string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkgPath) })
}
