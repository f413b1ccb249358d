"""The objects that scenarios create: a Service and what runs behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .api import Object

SERVICE = "headless-svc"
APP = {"app": "web"}
DUAL_STACK: Object = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}
NAMED_PORT: Object = {"name": "http", "port": 80, "targetPort": 8080}
HTTP: dict[str, int] = {"http": 8080}
GATE = "headless-discovery/told-ready"  # see `Kubelet`


def service(
    namespace: str,
    name: str = SERVICE,
    *,
    ports: Sequence[Object] = ({"port": 80, "targetPort": 8080},),
    cluster_ip: str | None = "None",
    **spec: Any,
) -> Object:
    """Headless, one unnamed port 80 to 8080, unless told otherwise. `cluster_ip=None` lets the API choose one."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": APP, "ports": list(ports)} | ({"clusterIP": cluster_ip} if cluster_ip else {}) | spec,
    }


def statefulset(namespace: str, name: str = "web", *, replicas: int = 3, **options: Any) -> Object:
    """Pods are made and ended all at once (`Parallel`), but replaced one after the other."""
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "serviceName": SERVICE,
            "podManagementPolicy": "Parallel",
            "replicas": replicas,
            "selector": {"matchLabels": APP},
            "template": pod_template(**options),
        },
    }


def deployment(namespace: str, name: str = "web", *, replicas: int = 3, rolling: Object, **options: Any) -> Object:
    """`rolling` has the fields of `spec.strategy.rollingUpdate`, and `minReadySeconds`."""
    rolling = dict(rolling)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "replicas": replicas,
            "minReadySeconds": rolling.pop("minReadySeconds", 0),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "selector": {"matchLabels": APP},
            "template": pod_template(**options),
        },
    }


def pod_template(*, ports: dict[str, int] = HTTP, drain: int = 0, gated: bool = False) -> Object:
    """`drain`: seconds for which a pod that is to end serves on. `gated`: not ready until `Kubelet.set_ready`."""
    container: Object = {
        "name": "web",
        "image": "example/web",
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
    }
    if drain:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": drain}}}
    spec: Object = {"terminationGracePeriodSeconds": drain + 20, "containers": [container]}
    if gated:
        spec["readinessGates"] = [{"conditionType": GATE}]
    return {"metadata": {"labels": APP}, "spec": spec}


def new_version(number: int) -> Object:
    """A patch that makes a StatefulSet or Deployment replace its pods, as `kubectl rollout restart` does."""
    return {"spec": {"template": {"metadata": {"annotations": {"version": str(number)}}}}}


def endpoint_slices(namespace: str, addresses: Sequence[str], service: str = SERVICE) -> list[Object]:
    """By hand, for a service without selector (`service(..., selector={})`). The API takes 1000 endpoints in each."""
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": namespace,
                "name": f"{service}-{number}",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]} for address in addresses[number : number + 1000]],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        }
        for number in range(0, len(addresses), 1000)
    ]


def dual_stack_slices(
    namespace: str, pods: Mapping[str, Sequence[str]], service: str = SERVICE, *, hostnames: bool
) -> list[Object]:
    """As the EndpointSlice controller writes them, one for each family: `pods` has name, IPv4 and IPv6 address of up to
    1000 pods. `hostnames`: those of a StatefulSet have names in DNS.
    """
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": namespace,
                "name": f"{service}-{family.lower()}",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": family,
            "endpoints": [
                {
                    "addresses": [addresses[number]],
                    "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "namespace": namespace, "name": name},
                }
                | ({"hostname": name} if hostnames else {})
                for name, addresses in pods.items()
            ],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
        for number, family in enumerate(DUAL_STACK["ipFamilies"])
    ]
