// Package version says which build this is.
package version

import "runtime/debug"

// Version is the released version, and Revision the commit; the build sets them
// with -ldflags "-X github.com/arc-cleanup/arc-cleanup/internal/version.Version=1.2.3".
var (
	Version  = "dev"
	Revision = ""
)

// shortRevision is how much of a commit's name is shown.
const shortRevision = 12

// String is the version with the commit it was built from, where that is known.
func String() string {
	commit := Revision
	if commit == "" {
		commit = stamped()
	}
	if commit == "" {
		return Version
	}
	return Version + " (" + commit[:min(len(commit), shortRevision)] + ")"
}

// stamped is the commit as `go build` and `go install` note it.
func stamped() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
