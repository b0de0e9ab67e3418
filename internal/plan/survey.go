package plan

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Remain is something of ARC that an uninstall is not about, so that it stays. That
// nothing of ARC is left may not be said then.
type Remain struct {
	What string       `json:"what"`
	Do   List[string] `json:"do"`
	// Lease says that it is no more than a Lease, which means nothing to a controller
	// that is installed again.
	Lease bool `json:"-"`
}

// Job is the job an EphemeralRunner has, as its status says
// (apis/actions.github.com/v1alpha1/ephemeralrunner_types.go).
type Job struct {
	Repository, Workflow, Name string
	// Pod is the runner's, which still runs.
	Pod *object.Object
	// Guess is all that is known where nothing names the job.
	Guess string
	// Alone says that nothing scales the legacy runner, so that it may outlive its job.
	Alone bool
}

func (j Job) String() string {
	if j.Guess != "" {
		return "a job, for all that can be known: " + j.Guess
	}
	return fmt.Sprintf("job %q of %s (%s)", j.Name, j.Repository, j.Workflow)
}

// Controller is one installed ARC controller.
type Controller struct {
	*object.Object
	// Watches are the namespaces it watches; none is all.
	Watches []string
	// Down says why it cannot be counted on; empty when it runs.
	Down string
	// Flux is the namespace of the HelmRelease by which Flux manages it, if it does.
	Flux string
	// LockedOut names the namespaces in which it lacks the rights to finish.
	LockedOut map[string]bool
	// Legacy says that it is one of runners of actions.summerwind.dev.
	Legacy bool
	// Lease is the one by which its replicas elect a leader, if they do.
	Lease string
	// Account is its ServiceAccount.
	Account types.NamespacedName
}

// ScaleSetRelease is a Helm release that installed scale sets, for scaleSets=uninstall.
type ScaleSetRelease struct {
	Release types.NamespacedName
	// Sets are its scale sets, as its record has them.
	Sets []identity.Set
	// Pending says that Helm is at work on it.
	Pending bool
	// Objects are those of its objects that exist, its scale sets apart.
	Objects []*object.Object
	// Records are the objects in which Helm keeps it.
	Records []*object.Object
	// Others names what it installed beside scale sets.
	Others []string
}

// OfJob is a Pod or a Secret that says that it is of a job which runs in Pods of its own
// (containerMode: kubernetes). The runner's container hooks make them, and nothing owns
// them.
type OfJob struct {
	*object.Object
	// Runner is the name of the EphemeralRunner, or of the legacy runner's Pod, as a label
	// says: whoever may write the object can have put it there.
	Runner string
}

// Webhooks is a configuration of the legacy chart's webhooks.
type Webhooks struct {
	*object.Object
	// Service is the one that answers them.
	Service types.NamespacedName
	// Dead says why nobody answers; empty when somebody may.
	Dead string
}

// ProtectedResources are the core kinds on which ARC's chart puts finalizers.
var ProtectedResources = []schema.GroupVersionResource{object.RoleBindings, object.Roles, object.ServiceAccounts, object.Secrets}

// ScaleSetInfo is what only an AutoscalingRunnerSet itself knows.
type ScaleSetInfo struct {
	// Current and Running count its runners and the busy ones.
	Current, Running int64
	// ID, Name and URL are what it is at GitHub; ID is empty before it is
	// registered.
	ID, Name, URL string
}

// Unknown is something that could not be read. What is unknown is never taken
// for absent.
type Unknown struct {
	What string
	Err  error
}

// Record is what Helm's record says of a release.
type Record struct {
	Name, Namespace string
	Revision        int
	// Status is Helm's word, as "deployed".
	Status string
	// Deployments and Sets, its AutoscalingRunnerSets, are those that its manifest installs.
	Deployments, Sets []types.NamespacedName
}

// Uninstalling reports whether Helm is uninstalling the release
// (helm.sh/helm pkg/release, StatusUninstalling).
func (r *Record) Uninstalling() bool { return r.Status == "uninstalling" }

// Survey is a read-only picture of the cluster.
type Survey struct {
	// Off is set when the off switch is thrown.
	Off bool
	// Record is of the Helm release being uninstalled; nil when none was asked for.
	Record *Record
	// ProofErr says why Record is missing though it was asked for.
	ProofErr error
	// ByArgoCD says that Argo CD has made the hook's Job.
	ByArgoCD bool

	CRDs         []*object.Object
	Custom       []*object.Object // ARC's custom resources, children before parents
	Protected    []*object.Object // core objects with an ARC finalizer
	ListenerRBAC []*object.Object // listeners' Roles and RoleBindings, which have no owner
	Held         []*object.Object // core objects whose deletion others' finalizers hold up
	Dependents   []*object.Object // Pods, Secrets, ServiceAccounts owned by a custom resource
	Controllers  []Controller
	// Webhooks are the legacy chart's, and Linked the Pods and Secrets of jobs of
	// legacy runners, for Scope Legacy; Custom has the runners' Pods then, too.
	Webhooks []Webhooks
	Linked   []*object.Object
	// OfJobs are the Pods and Secrets that say that they are of an EphemeralRunner's job.
	OfJobs []OfJob
	// LegacyHeld are the Pods with finalizers of legacy ARC, for Scope Controller.
	LegacyHeld []*object.Object
	// Registered holds, by UID, the Pods of legacy runners that GitHub still has.
	Registered map[types.UID]bool
	// Installed are the Helm releases of scale sets, with scaleSets=uninstall.
	Installed []ScaleSetRelease
	// Busy holds the jobs of EphemeralRunners by UID.
	Busy map[types.UID]Job
	// Terminating holds the namespaces on their way out, by name.
	Terminating map[string]Terminating
	// Proven holds, by UID, the objects that are still installed and of which the record
	// of the Helm release that they name says the same.
	Proven map[types.UID]bool
	// Managers holds, by UID, what manages objects that are still installed.
	Managers map[types.UID]*Manager
	// Live says, for Scope Namespace, that it is there and nobody deletes it.
	Live bool
	// Sets holds more about each AutoscalingRunnerSet by UID.
	Sets map[types.UID]ScaleSetInfo

	// Obstacles are of others, and likely to be in the way: webhooks and APIs that nobody
	// answers. They are named, and left alone. ObstaclesErr says why
	// they could not be looked for.
	Obstacles    []Finding
	ObstaclesErr error

	Unknown []Unknown
}

// ErrNotAsked is why something is unknown that came after the time was over.
var ErrNotAsked = errors.New("there was no time left to ask")

// Asked is what is unknown though it was asked for: the rest follows from it.
func (s *Survey) Asked() []Unknown {
	asked := slices.DeleteFunc(slices.Clone(s.Unknown), func(u Unknown) bool { return errors.Is(u.Err, ErrNotAsked) })
	if len(asked) == 0 {
		return s.Unknown
	}
	return asked
}
