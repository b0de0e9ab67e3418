// Command argocd runs what of Argo CD renders, syncs and deletes Applications: its repo server and its application
// controller, with a Redis in memory. Its API server, which is for people, is left out.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
)

func main() {
	namespace := flag.String("namespace", "argocd", "the `namespace` of the Applications")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *namespace); err != nil {
		fmt.Fprintln(os.Stderr, "argocd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, namespace string) error {
	redis := miniredis.NewMiniRedis()
	if err := redis.Start(); err != nil {
		return fmt.Errorf("starting Redis: %w", err)
	}
	defer redis.Close()
	port, err := freePort()
	if err != nil {
		return fmt.Errorf("looking for a port for the repo server: %w", err)
	}
	ended := make(chan error, 2)
	serve := func(command *cobra.Command, args ...string) {
		command.SetArgs(append(args, "--redis="+redis.Addr(), "--logformat=text"))
		go func() { ended <- command.ExecuteContext(ctx) }()
	}
	serve(reposerver.NewCommand(), "--address=127.0.0.1", fmt.Sprint("--port=", port), "--metrics-address=127.0.0.1", "--metrics-port=0")
	serve(controller.NewCommand(), "--namespace="+namespace, "--metrics-port=0", fmt.Sprint("--repo-server=127.0.0.1:", port))
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
