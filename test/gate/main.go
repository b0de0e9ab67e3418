// Command gate is a controller for tests of upgrades. It stands for ARC's controller from 0.12 on where that
// is dangerous to them: which scale sets it deletes, in which order their objects go, when runners are made
// anew, and when listeners are. It has the version of its image's tag. It talks to no GitHub, and it is
// written from ARC's behaviour, not from its code.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// imageVariable names the controller's own image, which is also that of listeners.
	imageVariable = "CONTROLLER_MANAGER_CONTAINER_IMAGE"
	turn          = 300 * time.Millisecond
)

// gate is the controller.
type gate struct {
	client         dynamic.Interface
	namespace      string // where listeners are
	image, version string
	ids            int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Print(err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context) error {
	config, err := rest.InClusterConfig()
	if path := os.Getenv("KUBECONFIG"); path != "" {
		config, err = clientcmd.BuildConfigFromFlags("", path)
	}
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	g := &gate{client: client, namespace: os.Getenv("CONTROLLER_MANAGER_POD_NAMESPACE"), image: os.Getenv(imageVariable)}
	g.version = g.image[strings.LastIndex(g.image, ":")+1:]
	log.Printf("gate %s", g.version)
	for ctx.Err() == nil {
		if err := g.turn(ctx); err != nil {
			log.Print(err) // and once more, as a work queue does
		}
		select {
		case <-ctx.Done():
		case <-time.After(turn):
		}
	}
	return nil
}

// turn looks at every object once.
func (g *gate) turn(ctx context.Context) error {
	sets, err := g.list(ctx, "autoscalingrunnersets", "")
	if err != nil {
		return err
	}
	for i := range sets {
		if err := g.set(ctx, &sets[i]); err != nil {
			return fmt.Errorf("scale set %s/%s: %w", sets[i].GetNamespace(), sets[i].GetName(), err)
		}
	}
	for resource, do := range map[string]func(context.Context, *unstructured.Unstructured) error{
		"autoscalinglisteners": g.listener, "ephemeralrunnersets": g.runnerSet, "ephemeralrunners": g.runner,
	} {
		all, err := g.list(ctx, resource, "")
		if err != nil {
			return err
		}
		for i := range all {
			if err := do(ctx, &all[i]); err != nil {
				return fmt.Errorf("%s %s/%s: %w", resource, all[i].GetNamespace(), all[i].GetName(), err)
			}
		}
	}
	return nil
}

// allows reports whether a controller of a version tolerates a scale set of another: major and minor count.
func allows(set, controller string) bool {
	x, ok := minor(set)
	y, is := minor(controller)
	return set == controller || ok && is && x == y
}

func minor(version string) (string, bool) {
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return "", false
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return "", false
		}
	}
	return parts[0] + "." + parts[1], true
}

func resource(name string) schema.GroupVersionResource {
	if name == "pods" {
		return schema.GroupVersionResource{Version: "v1", Resource: name}
	}
	return schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: name}
}

func resourceOf(o *unstructured.Unstructured) schema.GroupVersionResource {
	return resource(strings.ToLower(o.GetKind()) + "s")
}
