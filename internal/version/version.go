// Package version says which build this is.
package version

import "runtime/debug"

// Version is the released version; the build sets it with
// -ldflags "-X github.com/arc-cleanup/arc-cleanup/internal/version.Version=v1.2.3".
var Version = "dev"

// String is the version with the commit it was built from, where that is known.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return Version + " (" + s.Value[:12] + ")"
		}
	}
	return Version
}
