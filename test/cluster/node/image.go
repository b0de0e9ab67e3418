package node

import "strings"

// Image maps paths inside an image to programs of this machine; "" is the
// entrypoint.
type Image struct {
	Commands map[string]Program
}

// Program is what is run for a command of an image. Args come before the
// container's own.
type Program struct {
	Path string
	Args []string
	Env  []string
}

// repository is an image's name without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(image, ":"); colon > strings.LastIndex(image, "/") {
		image = image[:colon]
	}
	return image
}
