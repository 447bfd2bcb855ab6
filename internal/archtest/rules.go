package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Each rule returns what breaks it, one sentence each, with what to do.

// checkArrows holds which packages of the module may import which.
func checkArrows(m *module) (broken []string) {
	for _, p := range m.packages {
		i := slices.IndexFunc(arrows, func(a arrow) bool { return matches(a.from, p.path) })
		if i < 0 {
			broken = append(broken, fmt.Sprintf("package %s has no row in arrows: decide what it may import and add one to internal/archtest/tables.go", p.path))
			continue
		}
		for _, im := range p.imports {
			to, own := m.own(im.path)
			if own && !matchesAny(arrows[i].to, to) {
				broken = append(broken, fmt.Sprintf("%s imports %s, but %s may import only %s: pass a function or a small interface instead, or move the code", im.file, to, arrows[i].from, list(arrows[i].to)))
			}
		}
	}
	return broken
}

// checkPrograms holds that the library does not know the programs built on it,
// not even in its tests.
func checkPrograms(m *module) (broken []string) {
	for _, p := range m.packages {
		if matchesAny(programs, p.path) {
			continue
		}
		for _, im := range slices.Concat(p.imports, p.tests) {
			if to, own := m.own(im.path); own && matchesAny(programs, to) {
				broken = append(broken, fmt.Sprintf("%s imports %s: a library package must not know programs; move what it needs into a package of the library", im.file, to))
			}
		}
	}
	return broken
}

// checkDomain holds that the example's domain is plain Go.
func checkDomain(m *module) (broken []string) {
	for _, p := range m.packages {
		if !matchesAny(domain, p.path) {
			continue
		}
		for _, im := range p.imports {
			if to, own := m.own(im.path); own && !matchesAny(domain, to) {
				broken = append(broken, fmt.Sprintf("%s imports %s: a domain package is plain Go; wire it up in main", im.file, im.path))
			}
		}
	}
	return broken
}

// checkThirdParty holds which package may use which third-party module.
func checkThirdParty(m *module) (broken []string) {
	for _, p := range m.packages {
		allowed := modulesFor(thirdParty, p.path)
		inTests := append(modulesFor(thirdPartyTests, p.path), allowed...)
		if matchesAny(stdlibOnly, p.path) && len(allowed) > 0 {
			broken = append(broken, fmt.Sprintf("package %s is in stdlibOnly and has a row in thirdParty: remove one of them", p.path))
		}
		for _, im := range p.imports {
			if mod, ok := m.thirdParty(im.path); ok && !slices.Contains(allowed, mod) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s may use %s of third parties; do without it, put it behind an adapter, or add it to thirdParty in internal/archtest/tables.go with the reason in the commit", im.file, mod, p.path, list(allowed)))
			}
		}
		for _, im := range p.tests {
			if mod, ok := m.thirdParty(im.path); ok && !slices.Contains(inTests, mod) {
				broken = append(broken, fmt.Sprintf("%s imports %s: tests of %s may use %s of third parties; do without it, or add it to thirdPartyTests in internal/archtest/tables.go with the reason in the commit", im.file, mod, p.path, list(inTests)))
			}
		}
	}
	return broken
}

// checkLeafNames holds that a package can be named without its path.
func checkLeafNames(m *module) (broken []string) {
	seen := map[string]string{}
	for _, p := range m.packages {
		if p.name == "" || p.name == "main" {
			continue
		}
		if leaf := path.Base(p.path); p.path != "." && leaf != p.name {
			broken = append(broken, fmt.Sprintf("package %s calls itself %s: a package has the name of its directory", p.path, p.name))
		}
		if other, ok := seen[p.name]; ok {
			broken = append(broken, fmt.Sprintf("packages %s and %s are both called %s: one leaf name, one package, so that no importer needs an alias", other, p.path, p.name))
		}
		seen[p.name] = p.path
	}
	return broken
}

// checkTesting holds that no test helper is linked into production.
func checkTesting(m *module) (broken []string) {
	for _, p := range m.packages {
		if strings.HasSuffix(p.path, "test") {
			continue
		}
		for _, im := range p.imports {
			if im.path == "testing" || strings.HasPrefix(im.path, "testing/") {
				broken = append(broken, fmt.Sprintf("%s imports %s: only test files and packages named …test may; move the helper into one", im.file, im.path))
			}
			if to, own := m.own(im.path); own && strings.HasSuffix(to, "test") {
				broken = append(broken, fmt.Sprintf("%s imports %s, which is for tests: only test files and packages named …test may", im.file, to))
			}
		}
	}
	return broken
}

// checkDirect holds that go.mod requires directly what the tables name, for
// the packages that there are, and nothing else.
func checkDirect(m *module) (broken []string) {
	var named []string
	for _, u := range slices.Concat(thirdParty, thirdPartyTests) {
		if slices.ContainsFunc(m.packages, func(p *pkg) bool { return matches(u.from, p.path) }) {
			named = append(named, u.modules...)
		}
	}
	slices.Sort(named)
	named = slices.Compact(named)
	for _, mod := range named {
		if !slices.Contains(m.direct, mod) {
			broken = append(broken, fmt.Sprintf("the tables allow %s, which go.mod does not require directly: run go mod tidy; if nothing uses it, remove its rows from internal/archtest/tables.go", mod))
		}
	}
	for _, mod := range m.direct {
		if !slices.Contains(named, mod) {
			broken = append(broken, fmt.Sprintf("go.mod requires %s directly and no table names it: run go mod tidy, or add it to internal/archtest/tables.go with the reason in the commit", mod))
		}
	}
	return broken
}

func modulesFor(uses []use, pkgPath string) (modules []string) {
	for _, u := range uses {
		if matches(u.from, pkgPath) {
			modules = append(modules, u.modules...)
		}
	}
	return modules
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
