package node

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tokenSeconds is how long a Pod's token is good. It is not renewed, so it is
// longer than what Pods ask for.
const tokenSeconds = 24 * 60 * 60

func (p *pod) volumeDir(name string) string { return filepath.Join(p.dir, "volumes", name) }

// makeVolumes writes the Pod's volumes as folders. They are not updated later.
func (p *pod) makeVolumes(object *corev1.Pod) error {
	for _, volume := range object.Spec.Volumes {
		dir := p.volumeDir(volume.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making volume %s: %w", volume.Name, err)
		}
		if err := p.fillVolume(object, volume.VolumeSource, dir); err != nil {
			return fmt.Errorf("filling volume %s: %w", volume.Name, err)
		}
	}
	return nil
}

func (p *pod) fillVolume(object *corev1.Pod, source corev1.VolumeSource, dir string) error {
	switch {
	case source.EmptyDir != nil:
		return nil
	case source.Secret != nil:
		data, err := p.secret(source.Secret.SecretName, source.Secret.Optional)
		return writeItems(dir, data, source.Secret.Items, err)
	case source.ConfigMap != nil:
		data, err := p.configMap(source.ConfigMap.Name, source.ConfigMap.Optional)
		return writeItems(dir, data, source.ConfigMap.Items, err)
	case source.DownwardAPI != nil:
		return writeFields(dir, object, source.DownwardAPI.Items)
	case source.Projected != nil:
		for _, projection := range source.Projected.Sources {
			if err := p.project(object, projection, dir); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a kind of volume this node does not have")
}

func (p *pod) project(object *corev1.Pod, source corev1.VolumeProjection, dir string) error {
	switch {
	case source.ServiceAccountToken != nil:
		token, err := p.token(object, source.ServiceAccountToken.Audience)
		if err != nil {
			return err
		}
		return writeFile(dir, source.ServiceAccountToken.Path, token)
	case source.Secret != nil:
		data, err := p.secret(source.Secret.Name, source.Secret.Optional)
		return writeItems(dir, data, source.Secret.Items, err)
	case source.ConfigMap != nil:
		data, err := p.configMap(source.ConfigMap.Name, source.ConfigMap.Optional)
		return writeItems(dir, data, source.ConfigMap.Items, err)
	case source.DownwardAPI != nil:
		return writeFields(dir, object, source.DownwardAPI.Items)
	}
	return fmt.Errorf("a kind of projection this node does not have")
}

// token asks for one of the Pod's service account, which dies with the Pod.
func (p *pod) token(object *corev1.Pod, audience string) (string, error) {
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			Kind: "Pod", APIVersion: "v1", Name: p.name, UID: p.uid,
		},
	}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	account := object.Spec.ServiceAccountName
	answer, err := p.node.client.CoreV1().ServiceAccounts(p.namespace).
		CreateToken(p.stopping, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking for a token of service account %s: %w", account, err)
	}
	return answer.Status.Token, nil
}

// writeItems writes the named keys, or all.
func writeItems(dir string, data map[string]string, items []corev1.KeyToPath, err error) error {
	if err != nil {
		return err
	}
	if items == nil {
		for key, value := range data {
			if err := writeFile(dir, key, value); err != nil {
				return err
			}
		}
		return nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok {
			return fmt.Errorf("there is no key %q", item.Key)
		}
		if err := writeFile(dir, item.Path, value); err != nil {
			return err
		}
	}
	return nil
}

func writeFields(dir string, object *corev1.Pod, items []corev1.DownwardAPIVolumeFile) error {
	for _, item := range items {
		if item.FieldRef == nil {
			return fmt.Errorf("the source of %s is not known to this node", item.Path)
		}
		value, err := field(object, item.FieldRef.FieldPath)
		if err != nil {
			return err
		}
		if err := writeFile(dir, item.Path, value); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(dir, name, content string) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o600)
}

// mountVolumes links the volumes into the container's folder.
func (c *container) mountVolumes(object *corev1.Pod, spec *corev1.Container) ([]pathPair, error) {
	// The outer mount first, if one lies in another.
	mounts := slices.SortedFunc(slices.Values(spec.VolumeMounts), func(a, b corev1.VolumeMount) int {
		return cmp.Compare(len(a.MountPath), len(b.MountPath))
	})
	var paths []pathPair
	for _, mount := range mounts {
		source := filepath.Join(c.pod.volumeDir(mount.Name), mount.SubPath)
		target := filepath.Join(c.root(), mount.MountPath)
		if err := link(source, target); err != nil {
			return nil, fmt.Errorf("mounting volume %s of pod %s: %w", mount.Name, object.Name, err)
		}
		paths = append(paths, pathPair{mount.MountPath, target})
	}
	return paths, nil
}

func link(source, target string) error {
	if existing, err := os.Readlink(target); err == nil && existing == source {
		return nil // from the run before
	}
	if _, err := os.Stat(source); os.IsNotExist(err) {
		if err := os.MkdirAll(source, 0o755); err != nil { // a sub-path of an empty folder
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.Symlink(source, target)
}
