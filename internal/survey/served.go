package survey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// servedPatience is how long the API server may claim to serve a resource that it does not find.
// After the deletion of a CRD it does so for about a second.
const servedPatience = 5 * time.Second

// servedEvery is how often the survey asks again.
const servedEvery = 100 * time.Millisecond

// checkNotFound checks a NotFound. The API server gives that answer for a resource whose CRD is
// gone, but also for one that is not served yet or only in another version. It means "absent" only
// if the CRD is absent too, or if the API server does not claim to serve the resource.
func (r *reading) checkNotFound(group string) {
	var doubtful []string
	for name := range r.absent {
		// The CRD is not found, but its objects are.
		if crd, is := strings.CutPrefix(name, crdPrefix); is && !r.absent[crd] {
			doubtful = append(doubtful, strings.TrimSuffix(crd, "."+group))
			continue
		}
		read := r.absent[crdPrefix+name] || slices.ContainsFunc(r.s.CRDs, func(crd *object.Object) bool { return crd.Name == name })
		if resource, of := strings.CutSuffix(name, "."+group); of && !strings.HasPrefix(name, crdPrefix) && !read {
			doubtful = append(doubtful, resource)
		}
	}
	still, err := stillServed(r.ctx, r.c, group, doubtful)
	if err != nil {
		still = append(still, plan.Unknown{What: "whether " + group + " is served", Err: err})
	}
	r.s.Unknown = append(r.s.Unknown, still...)
}

// StillServed returns the CRDs that an empty plan counts as gone and that the API server still
// serves: the survey found neither them nor their objects, but a served resource is not gone. It
// does not report a failed discovery, because Beside does.
func StillServed(ctx context.Context, c *kube.Client, o plan.Options, s *plan.Survey) []plan.Unknown {
	if !o.RemovesCRDs() {
		return nil
	}
	group, names := arc.Group, arc.CRDs()
	if o.Scope == plan.ScopeLegacy {
		group, names = arc.LegacyGroup, arc.LegacyCRDs()
	}
	var gone []string
	for _, name := range names {
		if !slices.ContainsFunc(s.CRDs, func(crd *object.Object) bool { return crd.Name == name }) {
			gone = append(gone, strings.TrimSuffix(name, "."+group))
		}
	}
	still, _ := stillServed(ctx, c, group, gone)
	return still
}

// stillServed waits until none of these resources is served, and returns those that still are in
// the end.
func stillServed(ctx context.Context, c *kube.Client, group string, resources []string) (still []plan.Unknown, err error) {
	for end := time.Now().Add(servedPatience); len(resources) > 0; {
		served, err := c.Served(ctx, group)
		if err != nil {
			return still, err
		}
		resources = slices.DeleteFunc(resources, func(resource string) bool { return len(served[resource]) == 0 })
		still = nil
		for _, resource := range resources {
			still = append(still, plan.Unknown{What: resource + "." + group, Err: fmt.Errorf("not found, though the API server says that it serves it in the versions %s", strings.Join(served[resource], ", "))})
		}
		if len(resources) == 0 || time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return still, context.Cause(ctx)
		case <-time.After(servedEvery):
		}
	}
	return still, nil
}
