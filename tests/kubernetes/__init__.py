"""A real Kubernetes control plane on this machine, and what the library makes of it: `make test-kubernetes`.

`ControlPlane` runs etcd, kube-apiserver, kube-controller-manager and CoreDNS as plain processes in namespaces of their
own, with a stand-in for scheduler and kubelet. Other programs may use it as the tests do, with `tests` on PYTHONPATH:

    from kubernetes.control_plane import ControlPlane
    from kubernetes.isolation import isolate

    def main(parts):                                # runs in the namespaces, with everything built
        with ControlPlane(parts) as cluster:
            cluster.apply(objects.service(cluster.namespace("moon")), objects.statefulset("moon"))
            cluster.wait_for_endpoints("moon", 3)
            ...
        return 0

    if __name__ == "__main__":
        sys.exit(isolate(main))                     # starts the same program once more, inside
"""
