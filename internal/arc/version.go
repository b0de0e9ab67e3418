package arc

import (
	"regexp"
	"strconv"
)

var released = regexp.MustCompile(`^(\d{1,9})\.(\d{1,9})\.\d+$`)

// Tolerates reports whether a controller of one version leaves a scale set of another version alone. It
// deletes all others, with their registrations at GitHub. From 0.12.0 on it compares major and minor of
// released versions, before that the whole version (apis/actions.github.com/v1alpha1/version.go,
// IsVersionAllowed).
func Tolerates(controller, scaleSet string) bool {
	if controller == scaleSet {
		return true
	}
	a, b := released.FindStringSubmatch(controller), released.FindStringSubmatch(scaleSet)
	if a == nil || b == nil || a[1] != b[1] || a[2] != b[2] {
		return false
	}
	minor, _ := strconv.Atoi(a[2]) // digits only
	return a[1] != "0" || minor >= 12
}
