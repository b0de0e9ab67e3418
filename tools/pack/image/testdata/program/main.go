// Command program is a small program with one dependency, for tests of what is
// said of a binary.
package main

import (
	"fmt"

	"github.com/google/go-cmp/cmp"
)

func main() { fmt.Println(cmp.Equal(1, 1)) }
