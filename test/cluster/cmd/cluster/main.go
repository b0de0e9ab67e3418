// Command cluster starts and stops test clusters by hand:
//
//	cluster up   [--name NAME] [--image REPOSITORY=PROGRAM]...
//	cluster down [--name NAME]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1) //nolint:gocritic // stop only restores signals
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("up or down?")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	name := flags.String("name", "default", "`name` of the cluster; several can run at once")
	images := images{}
	if args[0] != "down" {
		flags.Var(images, "image", "`repository=program`: an image of the cluster's, and the program of this machine it runs")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	s, err := stateOf(*name)
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, s, args[1:])
	case "down":
		return down(ctx, s)
	case serveCommand:
		return serve(ctx, s, images)
	}
	return fmt.Errorf("there is no command %q, only up and down", args[0])
}

// images is the value of the flag of that name.
type images map[string]cluster.Image

func (i images) String() string { return "" }

func (i images) Set(value string) error {
	repository, path, ok := strings.Cut(value, "=")
	if !ok || repository == "" {
		return errors.New("want REPOSITORY=PROGRAM")
	}
	program, err := programAt(path)
	if err != nil {
		return err
	}
	i[repository] = cluster.Image{Commands: map[string]cluster.Program{"": program}}
	return nil
}
