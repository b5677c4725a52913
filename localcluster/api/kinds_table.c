/* The fields of the built-in types, one type a line: NAME: field=TYPE ... What they are for:
 * unknown fields and values of a wrong type are refused, strategic merge patches know their merge
 * keys, kubectl explain and apply get their OpenAPI. Facts taken from the struct tags of k8s.io/api
 * v0.34.4.
 *
 * TYPE: s string, i integer, b boolean, q quantity (or number or string), t time, o any object, or
 * the name of another type; []T is a list and {}T a map of T; @key after it: patches merge the list
 * by that key (@ alone: a set of values); ~: patches may replace what is not named ($retainKeys).
 */
#include "localcluster/api/kinds.h"

#include <stddef.h>

const char *const api_kind_lines[] = {
    "AWSElasticBlockStoreVolumeSource: volumeID=s fsType=s partition=i readOnly=b",
    "Affinity: nodeAffinity=NodeAffinity podAffinity=PodAffinity "
    "podAntiAffinity=PodAntiAffinity",
    "AppArmorProfile: type=s localhostProfile=s",
    "AttachedVolume: name=s devicePath=s",
    "AzureDiskVolumeSource: diskName=s diskURI=s cachingMode=s fsType=s readOnly=b kind=s",
    "AzureFilePersistentVolumeSource: secretName=s shareName=s readOnly=b secretNamespace=s",
    "AzureFileVolumeSource: secretName=s shareName=s readOnly=b",
    "Binding: metadata=ObjectMeta target=ObjectReference",
    "CSIPersistentVolumeSource: driver=s volumeHandle=s readOnly=b fsType=s "
    "volumeAttributes={}s controllerPublishSecretRef=SecretReference "
    "nodeStageSecretRef=SecretReference nodePublishSecretRef=SecretReference "
    "controllerExpandSecretRef=SecretReference nodeExpandSecretRef=SecretReference",
    "CSIVolumeSource: driver=s readOnly=b fsType=s volumeAttributes={}s "
    "nodePublishSecretRef=LocalObjectReference",
    "Capabilities: add=[]s drop=[]s",
    "CephFSPersistentVolumeSource: monitors=[]s path=s user=s secretFile=s "
    "secretRef=SecretReference readOnly=b",
    "CephFSVolumeSource: monitors=[]s path=s user=s secretFile=s "
    "secretRef=LocalObjectReference readOnly=b",
    "CinderPersistentVolumeSource: volumeID=s fsType=s readOnly=b secretRef=SecretReference",
    "CinderVolumeSource: volumeID=s fsType=s readOnly=b secretRef=LocalObjectReference",
    "ClientIPConfig: timeoutSeconds=i",
    "ClusterTrustBundleProjection: name=s signerName=s labelSelector=LabelSelector optional=b "
    "path=s",
    "Condition: type=s status=s observedGeneration=i lastTransitionTime=t reason=s message=s",
    "ConfigMap: metadata=ObjectMeta immutable=b data={}s binaryData={}s",
    "ConfigMapEnvSource: name=s optional=b",
    "ConfigMapKeySelector: name=s key=s optional=b",
    "ConfigMapNodeConfigSource: namespace=s name=s uid=s resourceVersion=s kubeletConfigKey=s",
    "ConfigMapProjection: name=s items=[]KeyToPath optional=b",
    "ConfigMapVolumeSource: name=s items=[]KeyToPath defaultMode=i optional=b",
    "Container: name=s image=s command=[]s args=[]s workingDir=s "
    "ports=[]ContainerPort@containerPort envFrom=[]EnvFromSource env=[]EnvVar@name "
    "resources=ResourceRequirements resizePolicy=[]ContainerResizePolicy restartPolicy=s "
    "restartPolicyRules=[]ContainerRestartRule volumeMounts=[]VolumeMount@mountPath "
    "volumeDevices=[]VolumeDevice@devicePath livenessProbe=Probe readinessProbe=Probe "
    "startupProbe=Probe lifecycle=Lifecycle terminationMessagePath=s "
    "terminationMessagePolicy=s imagePullPolicy=s securityContext=SecurityContext stdin=b "
    "stdinOnce=b tty=b",
    "ContainerExtendedResourceRequest: containerName=s resourceName=s requestName=s",
    "ContainerImage: names=[]s sizeBytes=i",
    "ContainerPort: name=s hostPort=i containerPort=i protocol=s hostIP=s",
    "ContainerResizePolicy: resourceName=s restartPolicy=s",
    "ContainerRestartRule: action=s exitCodes=ContainerRestartRuleOnExitCodes",
    "ContainerRestartRuleOnExitCodes: operator=s values=[]i",
    "ContainerState: waiting=ContainerStateWaiting running=ContainerStateRunning "
    "terminated=ContainerStateTerminated",
    "ContainerStateRunning: startedAt=t",
    "ContainerStateTerminated: exitCode=i signal=i reason=s message=s startedAt=t "
    "finishedAt=t containerID=s",
    "ContainerStateWaiting: reason=s message=s",
    "ContainerStatus: name=s state=ContainerState lastState=ContainerState ready=b "
    "restartCount=i image=s imageID=s containerID=s started=b allocatedResources={}q "
    "resources=ResourceRequirements volumeMounts=[]VolumeMountStatus@mountPath "
    "user=ContainerUser allocatedResourcesStatus=[]ResourceStatus@name stopSignal=s",
    "ContainerUser: linux=LinuxContainerUser",
    "ControllerRevision: metadata=ObjectMeta data=o revision=i",
    "DaemonEndpoint: Port=i",
    "DownwardAPIProjection: items=[]DownwardAPIVolumeFile",
    "DownwardAPIVolumeFile: path=s fieldRef=ObjectFieldSelector "
    "resourceFieldRef=ResourceFieldSelector mode=i",
    "DownwardAPIVolumeSource: items=[]DownwardAPIVolumeFile defaultMode=i",
    "EmptyDirVolumeSource: medium=s sizeLimit=q",
    "Endpoint: addresses=[]s conditions=EndpointConditions hostname=s "
    "targetRef=ObjectReference deprecatedTopology={}s nodeName=s zone=s hints=EndpointHints",
    "EndpointAddress: ip=s hostname=s nodeName=s targetRef=ObjectReference",
    "EndpointConditions: ready=b serving=b terminating=b",
    "EndpointHints: forZones=[]ForZone forNodes=[]ForNode",
    "EndpointPort: name=s port=i protocol=s appProtocol=s",
    "EndpointSlice: metadata=ObjectMeta addressType=s endpoints=[]Endpoint "
    "ports=[]SliceEndpointPort",
    "EndpointSubset: addresses=[]EndpointAddress notReadyAddresses=[]EndpointAddress "
    "ports=[]EndpointPort",
    "Endpoints: metadata=ObjectMeta subsets=[]EndpointSubset",
    "EnvFromSource: prefix=s configMapRef=ConfigMapEnvSource secretRef=SecretEnvSource",
    "EnvVar: name=s value=s valueFrom=EnvVarSource",
    "EnvVarSource: fieldRef=ObjectFieldSelector resourceFieldRef=ResourceFieldSelector "
    "configMapKeyRef=ConfigMapKeySelector secretKeyRef=SecretKeySelector "
    "fileKeyRef=FileKeySelector",
    "EphemeralContainer: name=s image=s command=[]s args=[]s workingDir=s "
    "ports=[]ContainerPort@containerPort envFrom=[]EnvFromSource env=[]EnvVar@name "
    "resources=ResourceRequirements resizePolicy=[]ContainerResizePolicy restartPolicy=s "
    "restartPolicyRules=[]ContainerRestartRule volumeMounts=[]VolumeMount@mountPath "
    "volumeDevices=[]VolumeDevice@devicePath livenessProbe=Probe readinessProbe=Probe "
    "startupProbe=Probe lifecycle=Lifecycle terminationMessagePath=s "
    "terminationMessagePolicy=s imagePullPolicy=s securityContext=SecurityContext stdin=b "
    "stdinOnce=b tty=b targetContainerName=s",
    "EphemeralVolumeSource: volumeClaimTemplate=PersistentVolumeClaimTemplate",
    "Event: metadata=ObjectMeta involvedObject=ObjectReference reason=s message=s "
    "source=EventSource firstTimestamp=t lastTimestamp=t count=i type=s eventTime=t "
    "series=EventSeries action=s related=ObjectReference reportingComponent=s "
    "reportingInstance=s",
    "EventSeries: count=i lastObservedTime=t",
    "EventSource: component=s host=s",
    "EventsEvent: metadata=ObjectMeta eventTime=t series=EventsEventSeries "
    "reportingController=s reportingInstance=s action=s reason=s regarding=ObjectReference "
    "related=ObjectReference note=s type=s deprecatedSource=EventSource "
    "deprecatedFirstTimestamp=t deprecatedLastTimestamp=t deprecatedCount=i",
    "EventsEventSeries: count=i lastObservedTime=t",
    "ExecAction: command=[]s",
    "FCVolumeSource: targetWWNs=[]s lun=i fsType=s readOnly=b wwids=[]s",
    "FileKeySelector: volumeName=s path=s key=s optional=b",
    "FlexPersistentVolumeSource: driver=s fsType=s secretRef=SecretReference readOnly=b "
    "options={}s",
    "FlexVolumeSource: driver=s fsType=s secretRef=LocalObjectReference readOnly=b "
    "options={}s",
    "FlockerVolumeSource: datasetName=s datasetUUID=s",
    "ForNode: name=s",
    "ForZone: name=s",
    "GCEPersistentDiskVolumeSource: pdName=s fsType=s partition=i readOnly=b",
    "GRPCAction: port=i service=s",
    "GitRepoVolumeSource: repository=s revision=s directory=s",
    "GlusterfsPersistentVolumeSource: endpoints=s path=s readOnly=b endpointsNamespace=s",
    "GlusterfsVolumeSource: endpoints=s path=s readOnly=b",
    "HTTPGetAction: path=s port=q host=s scheme=s httpHeaders=[]HTTPHeader",
    "HTTPHeader: name=s value=s",
    "HostAlias: ip=s hostnames=[]s",
    "HostIP: ip=s",
    "HostPathVolumeSource: path=s type=s",
    "ISCSIPersistentVolumeSource: targetPortal=s iqn=s lun=i iscsiInterface=s fsType=s "
    "readOnly=b portals=[]s chapAuthDiscovery=b chapAuthSession=b secretRef=SecretReference "
    "initiatorName=s",
    "ISCSIVolumeSource: targetPortal=s iqn=s lun=i iscsiInterface=s fsType=s readOnly=b "
    "portals=[]s chapAuthDiscovery=b chapAuthSession=b secretRef=LocalObjectReference "
    "initiatorName=s",
    "ImageVolumeSource: reference=s pullPolicy=s",
    "KeyToPath: key=s path=s mode=i",
    "LabelSelector: matchLabels={}s matchExpressions=[]LabelSelectorRequirement",
    "LabelSelectorRequirement: key=s operator=s values=[]s",
    "Lease: metadata=ObjectMeta spec=LeaseSpec",
    "LeaseSpec: holderIdentity=s leaseDurationSeconds=i acquireTime=t renewTime=t "
    "leaseTransitions=i strategy=s preferredHolder=s",
    "Lifecycle: postStart=LifecycleHandler preStop=LifecycleHandler stopSignal=s",
    "LifecycleHandler: exec=ExecAction httpGet=HTTPGetAction tcpSocket=TCPSocketAction "
    "sleep=SleepAction",
    "LinuxContainerUser: uid=i gid=i supplementalGroups=[]i",
    "LoadBalancerIngress: ip=s hostname=s ipMode=s ports=[]PortStatus",
    "LoadBalancerStatus: ingress=[]LoadBalancerIngress",
    "LocalObjectReference: name=s",
    "LocalVolumeSource: path=s fsType=s",
    "ModifyVolumeStatus: targetVolumeAttributesClassName=s status=s",
    "NFSVolumeSource: server=s path=s readOnly=b",
    "Namespace: metadata=ObjectMeta spec=NamespaceSpec status=NamespaceStatus",
    "NamespaceCondition: type=s status=s lastTransitionTime=t reason=s message=s",
    "NamespaceSpec: finalizers=[]s",
    "NamespaceStatus: phase=s conditions=[]NamespaceCondition@type",
    "Node: metadata=ObjectMeta spec=NodeSpec status=NodeStatus",
    "NodeAddress: type=s address=s",
    "NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution=NodeSelector "
    "preferredDuringSchedulingIgnoredDuringExecution=[]PreferredSchedulingTerm",
    "NodeCondition: type=s status=s lastHeartbeatTime=t lastTransitionTime=t reason=s "
    "message=s",
    "NodeConfigSource: configMap=ConfigMapNodeConfigSource",
    "NodeConfigStatus: assigned=NodeConfigSource active=NodeConfigSource "
    "lastKnownGood=NodeConfigSource error=s",
    "NodeDaemonEndpoints: kubeletEndpoint=DaemonEndpoint",
    "NodeFeatures: supplementalGroupsPolicy=b",
    "NodeRuntimeHandler: name=s features=NodeRuntimeHandlerFeatures",
    "NodeRuntimeHandlerFeatures: recursiveReadOnlyMounts=b userNamespaces=b",
    "NodeSelector: nodeSelectorTerms=[]NodeSelectorTerm",
    "NodeSelectorRequirement: key=s operator=s values=[]s",
    "NodeSelectorTerm: matchExpressions=[]NodeSelectorRequirement "
    "matchFields=[]NodeSelectorRequirement",
    "NodeSpec: podCIDR=s podCIDRs=[]s@ providerID=s unschedulable=b taints=[]Taint "
    "configSource=NodeConfigSource externalID=s",
    "NodeStatus: capacity={}q allocatable={}q phase=s conditions=[]NodeCondition@type "
    "addresses=[]NodeAddress@type daemonEndpoints=NodeDaemonEndpoints nodeInfo=NodeSystemInfo "
    "images=[]ContainerImage volumesInUse=[]s volumesAttached=[]AttachedVolume "
    "config=NodeConfigStatus runtimeHandlers=[]NodeRuntimeHandler features=NodeFeatures",
    "NodeSwapStatus: capacity=i",
    "NodeSystemInfo: machineID=s systemUUID=s bootID=s kernelVersion=s osImage=s "
    "containerRuntimeVersion=s kubeletVersion=s kubeProxyVersion=s operatingSystem=s "
    "architecture=s swap=NodeSwapStatus",
    "ObjectFieldSelector: apiVersion=s fieldPath=s",
    "ObjectMeta: name=s generateName=s namespace=s selfLink=s uid=s resourceVersion=s "
    "generation=i creationTimestamp=t deletionTimestamp=t deletionGracePeriodSeconds=i "
    "labels={}s annotations={}s ownerReferences=[]OwnerReference@uid finalizers=[]s@",
    "ObjectReference: kind=s namespace=s name=s uid=s apiVersion=s resourceVersion=s "
    "fieldPath=s",
    "OwnerReference: apiVersion=s kind=s name=s uid=s controller=b blockOwnerDeletion=b",
    "PersistentVolume: metadata=ObjectMeta spec=PersistentVolumeSpec "
    "status=PersistentVolumeStatus",
    "PersistentVolumeClaim: metadata=ObjectMeta spec=PersistentVolumeClaimSpec "
    "status=PersistentVolumeClaimStatus",
    "PersistentVolumeClaimCondition: type=s status=s lastProbeTime=t lastTransitionTime=t "
    "reason=s message=s",
    "PersistentVolumeClaimSpec: accessModes=[]s selector=LabelSelector "
    "resources=VolumeResourceRequirements volumeName=s storageClassName=s volumeMode=s "
    "dataSource=TypedLocalObjectReference dataSourceRef=TypedObjectReference "
    "volumeAttributesClassName=s",
    "PersistentVolumeClaimStatus: phase=s accessModes=[]s capacity={}q "
    "conditions=[]PersistentVolumeClaimCondition@type allocatedResources={}q "
    "allocatedResourceStatuses={}s currentVolumeAttributesClassName=s "
    "modifyVolumeStatus=ModifyVolumeStatus",
    "PersistentVolumeClaimTemplate: metadata=ObjectMeta spec=PersistentVolumeClaimSpec",
    "PersistentVolumeClaimVolumeSource: claimName=s readOnly=b",
    "PersistentVolumeSpec: capacity={}q gcePersistentDisk=GCEPersistentDiskVolumeSource "
    "awsElasticBlockStore=AWSElasticBlockStoreVolumeSource hostPath=HostPathVolumeSource "
    "glusterfs=GlusterfsPersistentVolumeSource nfs=NFSVolumeSource "
    "rbd=RBDPersistentVolumeSource iscsi=ISCSIPersistentVolumeSource "
    "cinder=CinderPersistentVolumeSource cephfs=CephFSPersistentVolumeSource "
    "fc=FCVolumeSource flocker=FlockerVolumeSource flexVolume=FlexPersistentVolumeSource "
    "azureFile=AzureFilePersistentVolumeSource vsphereVolume=VsphereVirtualDiskVolumeSource "
    "quobyte=QuobyteVolumeSource azureDisk=AzureDiskVolumeSource "
    "photonPersistentDisk=PhotonPersistentDiskVolumeSource "
    "portworxVolume=PortworxVolumeSource scaleIO=ScaleIOPersistentVolumeSource "
    "local=LocalVolumeSource storageos=StorageOSPersistentVolumeSource "
    "csi=CSIPersistentVolumeSource accessModes=[]s claimRef=ObjectReference "
    "persistentVolumeReclaimPolicy=s storageClassName=s mountOptions=[]s volumeMode=s "
    "nodeAffinity=VolumeNodeAffinity volumeAttributesClassName=s",
    "PersistentVolumeStatus: phase=s message=s reason=s lastPhaseTransitionTime=t",
    "PhotonPersistentDiskVolumeSource: pdID=s fsType=s",
    "Pod: metadata=ObjectMeta spec=PodSpec status=PodStatus",
    "PodAffinity: requiredDuringSchedulingIgnoredDuringExecution=[]PodAffinityTerm "
    "preferredDuringSchedulingIgnoredDuringExecution=[]WeightedPodAffinityTerm",
    "PodAffinityTerm: labelSelector=LabelSelector namespaces=[]s topologyKey=s "
    "namespaceSelector=LabelSelector matchLabelKeys=[]s mismatchLabelKeys=[]s",
    "PodAntiAffinity: requiredDuringSchedulingIgnoredDuringExecution=[]PodAffinityTerm "
    "preferredDuringSchedulingIgnoredDuringExecution=[]WeightedPodAffinityTerm",
    "PodCertificateProjection: signerName=s keyType=s maxExpirationSeconds=i "
    "credentialBundlePath=s keyPath=s certificateChainPath=s",
    "PodCondition: type=s observedGeneration=i status=s lastProbeTime=t lastTransitionTime=t "
    "reason=s message=s",
    "PodDNSConfig: nameservers=[]s searches=[]s options=[]PodDNSConfigOption",
    "PodDNSConfigOption: name=s value=s",
    "PodExtendedResourceClaimStatus: requestMappings=[]ContainerExtendedResourceRequest "
    "resourceClaimName=s",
    "PodIP: ip=s",
    "PodOS: name=s",
    "PodReadinessGate: conditionType=s",
    "PodResourceClaim: name=s resourceClaimName=s resourceClaimTemplateName=s",
    "PodResourceClaimStatus: name=s resourceClaimName=s",
    "PodSchedulingGate: name=s",
    "PodSecurityContext: seLinuxOptions=SELinuxOptions "
    "windowsOptions=WindowsSecurityContextOptions runAsUser=i runAsGroup=i runAsNonRoot=b "
    "supplementalGroups=[]i supplementalGroupsPolicy=s fsGroup=i sysctls=[]Sysctl "
    "fsGroupChangePolicy=s seccompProfile=SeccompProfile appArmorProfile=AppArmorProfile "
    "seLinuxChangePolicy=s",
    "PodSpec: volumes=[]Volume@name~ initContainers=[]Container@name "
    "containers=[]Container@name ephemeralContainers=[]EphemeralContainer@name "
    "restartPolicy=s terminationGracePeriodSeconds=i activeDeadlineSeconds=i dnsPolicy=s "
    "nodeSelector={}s serviceAccountName=s serviceAccount=s automountServiceAccountToken=b "
    "nodeName=s hostNetwork=b hostPID=b hostIPC=b shareProcessNamespace=b "
    "securityContext=PodSecurityContext imagePullSecrets=[]LocalObjectReference@name "
    "hostname=s subdomain=s affinity=Affinity schedulerName=s tolerations=[]Toleration "
    "hostAliases=[]HostAlias@ip priorityClassName=s priority=i dnsConfig=PodDNSConfig "
    "readinessGates=[]PodReadinessGate runtimeClassName=s enableServiceLinks=b "
    "preemptionPolicy=s overhead={}q "
    "topologySpreadConstraints=[]TopologySpreadConstraint@topologyKey setHostnameAsFQDN=b "
    "os=PodOS hostUsers=b schedulingGates=[]PodSchedulingGate@name "
    "resourceClaims=[]PodResourceClaim@name~ resources=ResourceRequirements "
    "hostnameOverride=s",
    "PodStatus: observedGeneration=i phase=s conditions=[]PodCondition@type message=s "
    "reason=s nominatedNodeName=s hostIP=s hostIPs=[]HostIP@ip podIP=s podIPs=[]PodIP@ip "
    "startTime=t initContainerStatuses=[]ContainerStatus containerStatuses=[]ContainerStatus "
    "qosClass=s ephemeralContainerStatuses=[]ContainerStatus resize=s "
    "resourceClaimStatuses=[]PodResourceClaimStatus@name~ "
    "extendedResourceClaimStatus=PodExtendedResourceClaimStatus",
    "PodTemplateSpec: metadata=ObjectMeta spec=PodSpec",
    "PortStatus: port=i protocol=s error=s",
    "PortworxVolumeSource: volumeID=s fsType=s readOnly=b",
    "PreferredSchedulingTerm: weight=i preference=NodeSelectorTerm",
    "PriorityClass: metadata=ObjectMeta value=i globalDefault=b description=s "
    "preemptionPolicy=s",
    "Probe: exec=ExecAction httpGet=HTTPGetAction tcpSocket=TCPSocketAction grpc=GRPCAction "
    "initialDelaySeconds=i timeoutSeconds=i periodSeconds=i successThreshold=i "
    "failureThreshold=i terminationGracePeriodSeconds=i",
    "ProjectedVolumeSource: sources=[]VolumeProjection defaultMode=i",
    "QuobyteVolumeSource: registry=s volume=s readOnly=b user=s group=s tenant=s",
    "RBDPersistentVolumeSource: monitors=[]s image=s fsType=s pool=s user=s keyring=s "
    "secretRef=SecretReference readOnly=b",
    "RBDVolumeSource: monitors=[]s image=s fsType=s pool=s user=s keyring=s "
    "secretRef=LocalObjectReference readOnly=b",
    "ResourceClaim: name=s request=s",
    "ResourceFieldSelector: containerName=s resource=s divisor=q",
    "ResourceHealth: resourceID=s health=s",
    "ResourceRequirements: limits={}q requests={}q claims=[]ResourceClaim",
    "ResourceStatus: name=s resources=[]ResourceHealth",
    "SELinuxOptions: user=s role=s type=s level=s",
    "Scale: metadata=ObjectMeta spec=ScaleSpec status=ScaleStatus",
    "ScaleIOPersistentVolumeSource: gateway=s system=s secretRef=SecretReference sslEnabled=b "
    "protectionDomain=s storagePool=s storageMode=s volumeName=s fsType=s readOnly=b",
    "ScaleIOVolumeSource: gateway=s system=s secretRef=LocalObjectReference sslEnabled=b "
    "protectionDomain=s storagePool=s storageMode=s volumeName=s fsType=s readOnly=b",
    "ScaleSpec: replicas=i",
    "ScaleStatus: replicas=i selector=s",
    "SeccompProfile: type=s localhostProfile=s",
    "Secret: metadata=ObjectMeta immutable=b data={}s stringData={}s type=s",
    "SecretEnvSource: name=s optional=b",
    "SecretKeySelector: name=s key=s optional=b",
    "SecretProjection: name=s items=[]KeyToPath optional=b",
    "SecretReference: name=s namespace=s",
    "SecretVolumeSource: secretName=s items=[]KeyToPath defaultMode=i optional=b",
    "SecurityContext: capabilities=Capabilities privileged=b seLinuxOptions=SELinuxOptions "
    "windowsOptions=WindowsSecurityContextOptions runAsUser=i runAsGroup=i runAsNonRoot=b "
    "readOnlyRootFilesystem=b allowPrivilegeEscalation=b procMount=s "
    "seccompProfile=SeccompProfile appArmorProfile=AppArmorProfile",
    "Service: metadata=ObjectMeta spec=ServiceSpec status=ServiceStatus",
    "ServiceAccount: metadata=ObjectMeta secrets=[]ObjectReference@name "
    "imagePullSecrets=[]LocalObjectReference automountServiceAccountToken=b",
    "ServiceAccountTokenProjection: audience=s expirationSeconds=i path=s",
    "ServicePort: name=s protocol=s appProtocol=s port=i targetPort=q nodePort=i",
    "ServiceSpec: ports=[]ServicePort@port selector={}s clusterIP=s clusterIPs=[]s type=s "
    "externalIPs=[]s sessionAffinity=s loadBalancerIP=s loadBalancerSourceRanges=[]s "
    "externalName=s externalTrafficPolicy=s healthCheckNodePort=i publishNotReadyAddresses=b "
    "sessionAffinityConfig=SessionAffinityConfig ipFamilies=[]s ipFamilyPolicy=s "
    "allocateLoadBalancerNodePorts=b loadBalancerClass=s internalTrafficPolicy=s "
    "trafficDistribution=s",
    "ServiceStatus: loadBalancer=LoadBalancerStatus conditions=[]Condition@type",
    "SessionAffinityConfig: clientIP=ClientIPConfig",
    "SleepAction: seconds=i",
    "SliceEndpointPort: name=s protocol=s port=i appProtocol=s",
    "StorageOSPersistentVolumeSource: volumeName=s volumeNamespace=s fsType=s readOnly=b "
    "secretRef=ObjectReference",
    "StorageOSVolumeSource: volumeName=s volumeNamespace=s fsType=s readOnly=b "
    "secretRef=LocalObjectReference",
    "Sysctl: name=s value=s",
    "TCPSocketAction: port=q host=s",
    "Taint: key=s value=s effect=s timeAdded=t",
    "Toleration: key=s operator=s value=s effect=s tolerationSeconds=i",
    "TopologySpreadConstraint: maxSkew=i topologyKey=s whenUnsatisfiable=s "
    "labelSelector=LabelSelector minDomains=i nodeAffinityPolicy=s nodeTaintsPolicy=s "
    "matchLabelKeys=[]s",
    "TypedLocalObjectReference: apiGroup=s kind=s name=s",
    "TypedObjectReference: apiGroup=s kind=s name=s namespace=s",
    "Volume: name=s hostPath=HostPathVolumeSource emptyDir=EmptyDirVolumeSource "
    "gcePersistentDisk=GCEPersistentDiskVolumeSource "
    "awsElasticBlockStore=AWSElasticBlockStoreVolumeSource gitRepo=GitRepoVolumeSource "
    "secret=SecretVolumeSource nfs=NFSVolumeSource iscsi=ISCSIVolumeSource "
    "glusterfs=GlusterfsVolumeSource persistentVolumeClaim=PersistentVolumeClaimVolumeSource "
    "rbd=RBDVolumeSource flexVolume=FlexVolumeSource cinder=CinderVolumeSource "
    "cephfs=CephFSVolumeSource flocker=FlockerVolumeSource "
    "downwardAPI=DownwardAPIVolumeSource fc=FCVolumeSource azureFile=AzureFileVolumeSource "
    "configMap=ConfigMapVolumeSource vsphereVolume=VsphereVirtualDiskVolumeSource "
    "quobyte=QuobyteVolumeSource azureDisk=AzureDiskVolumeSource "
    "photonPersistentDisk=PhotonPersistentDiskVolumeSource projected=ProjectedVolumeSource "
    "portworxVolume=PortworxVolumeSource scaleIO=ScaleIOVolumeSource "
    "storageos=StorageOSVolumeSource csi=CSIVolumeSource ephemeral=EphemeralVolumeSource "
    "image=ImageVolumeSource",
    "VolumeDevice: name=s devicePath=s",
    "VolumeMount: name=s readOnly=b recursiveReadOnly=s mountPath=s subPath=s "
    "mountPropagation=s subPathExpr=s",
    "VolumeMountStatus: name=s mountPath=s readOnly=b recursiveReadOnly=s",
    "VolumeNodeAffinity: required=NodeSelector",
    "VolumeProjection: secret=SecretProjection downwardAPI=DownwardAPIProjection "
    "configMap=ConfigMapProjection serviceAccountToken=ServiceAccountTokenProjection "
    "clusterTrustBundle=ClusterTrustBundleProjection podCertificate=PodCertificateProjection",
    "VolumeResourceRequirements: limits={}q requests={}q",
    "VsphereVirtualDiskVolumeSource: volumePath=s fsType=s storagePolicyName=s "
    "storagePolicyID=s",
    "WeightedPodAffinityTerm: weight=i podAffinityTerm=PodAffinityTerm",
    "WindowsSecurityContextOptions: gmsaCredentialSpecName=s gmsaCredentialSpec=s "
    "runAsUserName=s hostProcess=b",
    NULL,
};
