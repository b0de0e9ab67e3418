package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const serviceAccountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// root is the folder which stands for the container's file system.
func (c *container) root() string { return filepath.Join(c.dir, "root") }

// command prepares the process of a container: its folder, environment and
// arguments.
func (c *container) command(object *corev1.Pod, spec *corev1.Container, program Program) (*exec.Cmd, error) {
	paths, err := c.mountVolumes(object, spec)
	if err != nil {
		return nil, err
	}
	workDir := filepath.Join(c.root(), spec.WorkingDir)
	temp := filepath.Join(c.root(), "tmp")
	message := filepath.Join(c.root(), spec.TerminationMessagePath)
	for _, dir := range []string{workDir, temp, filepath.Dir(message)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the folders of container %s: %w", c.name, err)
		}
	}
	if err := os.WriteFile(message, nil, 0o644); err != nil {
		return nil, fmt.Errorf("making the termination message of container %s: %w", c.name, err)
	}
	paths = append(paths, pathPair{spec.TerminationMessagePath, message})

	declared, err := c.environment(object, spec)
	if err != nil {
		return nil, err
	}
	host, port := c.pod.node.apiServer()
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + c.root(),
		"TMPDIR=" + temp,
		"HOSTNAME=" + c.pod.name,
		"KUBERNETES_SERVICE_HOST=" + host,
		"KUBERNETES_SERVICE_PORT=" + port,
	}
	kubeconfig, err := c.kubeconfig(spec)
	if err != nil {
		return nil, err
	}
	if kubeconfig != "" {
		env = append(env, "KUBECONFIG="+kubeconfig)
	}
	env = append(env, program.Env...)
	for _, v := range declared {
		env = append(env, v.Name+"="+rewrite(v.Value, paths))
	}

	args := append([]string{}, program.Args...)
	given := spec.Args
	if len(spec.Command) > 0 {
		given = append(append([]string{}, spec.Command[1:]...), given...)
	}
	for _, arg := range given {
		args = append(args, rewrite(expand(arg, declared), paths))
	}
	cmd := exec.Command(program.Path, args...)
	cmd.Dir, cmd.Env = workDir, env
	return cmd, nil
}

// kubeconfig writes one with the Pod's own service account, if the container
// has its token; client-go would look for that at a path which a process of
// this machine does not have.
func (c *container) kubeconfig(spec *corev1.Container) (string, error) {
	mounted := false
	for _, m := range spec.VolumeMounts {
		mounted = mounted || m.MountPath == serviceAccountPath
	}
	if !mounted {
		return "", nil
	}
	account := filepath.Join(c.root(), serviceAccountPath)
	config := clientcmdapi.NewConfig()
	config.Clusters["cluster"] = &clientcmdapi.Cluster{
		Server:               c.pod.node.config.Host,
		CertificateAuthority: filepath.Join(account, "ca.crt"),
	}
	config.AuthInfos["pod"] = &clientcmdapi.AuthInfo{TokenFile: filepath.Join(account, "token")}
	config.Contexts["pod"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "pod", Namespace: c.pod.namespace}
	config.CurrentContext = "pod"
	path := filepath.Join(c.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("writing the kubeconfig of container %s: %w", c.name, err)
	}
	return path, nil
}

// pathPair is a path inside a container and the one it really has.
type pathPair struct{ inside, real string }

// rewrite replaces the paths of mounted things, so that the program finds them.
func rewrite(s string, paths []pathPair) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		best := pathPair{}
		for _, p := range paths {
			if len(p.inside) > len(best.inside) && strings.HasPrefix(s[i:], p.inside) &&
				(i == 0 || !pathByte(s[i-1]) && s[i-1] != '/') &&
				(i+len(p.inside) == len(s) || !pathByte(s[i+len(p.inside)])) {
				best = p
			}
		}
		if best.inside == "" {
			b.WriteByte(s[i])
			i++
			continue
		}
		b.WriteString(best.real)
		i += len(best.inside)
	}
	return b.String()
}

// pathByte says that c would go on with the name of a file.
func pathByte(c byte) bool {
	return c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
