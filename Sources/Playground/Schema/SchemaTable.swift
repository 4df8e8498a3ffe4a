/// The schema in short: `Structure: field:type …`, in the order in which the API writes the fields.
///
/// Types: `s` text, `i` `l` whole numbers of 32 and 64 bits, `b` truth, `q` quantity, `x` number or text, `t` time, `o`
/// anything, `ms` `mq` maps to text and quantities, a structure's name, `[…]` a list, `[…]@key` one that merges by that
/// key (a second key tells elements apart in a server-side apply alone), `[s]@` one that unites. A capital letter turns
/// round what an empty value means: `S` keeps empty text, `I` `L` `B` drop zero and false. `^` lets a merge name the
/// members that stay; `!` makes a field, or every value of a structure, one whole that has one owner.
enum SchemaTable {
    static let objects = """
        ObjectMeta: name:s generateName:s namespace:s selfLink:s uid:s resourceVersion:s generation:L creationTimestamp:t \
        deletionTimestamp:t deletionGracePeriodSeconds:l labels:ms annotations:ms ownerReferences:[OwnerReference]@uid \
        finalizers:[s]@ managedFields:[o]
        OwnerReference!: apiVersion:S kind:S name:S uid:S controller:b blockOwnerDeletion:b
        LabelSelector!: matchLabels:ms matchExpressions:[LabelSelectorRequirement]
        LabelSelectorRequirement: key:S operator:S values:[s]
        Namespace: kind:s apiVersion:s metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus
        NamespaceSpec: finalizers:[s]
        NamespaceStatus: phase:s conditions:[Condition]@type
        Condition: type:S observedGeneration:L status:S lastProbeTime:t lastHeartbeatTime:t lastUpdateTime:t \
        lastTransitionTime:t reason:s message:s
        ConfigMap: kind:s apiVersion:s metadata:ObjectMeta immutable:b data:ms binaryData:ms
        Secret: kind:s apiVersion:s metadata:ObjectMeta immutable:b data:ms stringData:ms type:s
        ServiceAccount: kind:s apiVersion:s metadata:ObjectMeta secrets:[ObjectReference]@name \
        imagePullSecrets:[LocalObjectReference] automountServiceAccountToken:b
        ObjectReference!: kind:s namespace:s name:s uid:s apiVersion:s resourceVersion:s fieldPath:s
        LocalObjectReference!: name:s
        Event: kind:s apiVersion:s metadata:ObjectMeta involvedObject:ObjectReference reason:s message:s \
        source:EventSource firstTimestamp:t lastTimestamp:t count:I type:s eventTime:t series:EventSeries action:s \
        related:ObjectReference reportingComponent:S reportingInstance:S
        EventSource: component:s host:s
        EventSeries: count:I lastObservedTime:t
        Node: kind:s apiVersion:s metadata:ObjectMeta spec:NodeSpec status:NodeStatus
        NodeSpec: podCIDR:s podCIDRs:[s] providerID:s unschedulable:B taints:[Taint] configSource:o externalID:s
        Taint: key:S value:s effect:S timeAdded:t
        NodeStatus: capacity:mq allocatable:mq phase:s conditions:[Condition]@type addresses:[NodeAddress]@type \
        daemonEndpoints:o nodeInfo:o images:[o] volumesInUse:[s] volumesAttached:[o] config:o runtimeHandlers:[o] \
        features:o declaredFeatures:[s]
        NodeAddress: type:S address:S
        ResourceQuota: kind:s apiVersion:s metadata:ObjectMeta spec:ResourceQuotaSpec status:ResourceQuotaStatus
        ResourceQuotaSpec: hard:mq scopes:[s] scopeSelector:o
        ResourceQuotaStatus: hard:mq used:mq
        Scale: kind:s apiVersion:s metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus
        ScaleSpec: replicas:i
        ScaleStatus: replicas:i selector:s
        Deployment: kind:s apiVersion:s metadata:ObjectMeta spec:DeploymentSpec status:DeploymentStatus
        DeploymentSpec: replicas:i selector:LabelSelector template:PodTemplateSpec strategy:DeploymentStrategy^ \
        minReadySeconds:I revisionHistoryLimit:i paused:B progressDeadlineSeconds:i
        DeploymentStrategy: type:s rollingUpdate:RollingUpdateDeployment
        RollingUpdateDeployment: maxUnavailable:x maxSurge:x
        DeploymentStatus: observedGeneration:L replicas:I updatedReplicas:I readyReplicas:I availableReplicas:I \
        unavailableReplicas:I terminatingReplicas:i conditions:[Condition]@type collisionCount:i
        ReplicaSet: kind:s apiVersion:s metadata:ObjectMeta spec:ReplicaSetSpec status:ReplicaSetStatus
        ReplicaSetSpec: replicas:i minReadySeconds:I selector:LabelSelector template:PodTemplateSpec
        ReplicaSetStatus: replicas:i fullyLabeledReplicas:I readyReplicas:I availableReplicas:I terminatingReplicas:i \
        observedGeneration:L conditions:[Condition]@type
        StatefulSet: kind:s apiVersion:s metadata:ObjectMeta spec:StatefulSetSpec status:StatefulSetStatus
        StatefulSetSpec: replicas:i selector:LabelSelector template:PodTemplateSpec volumeClaimTemplates:[o] serviceName:S \
        podManagementPolicy:s updateStrategy:StatefulSetUpdateStrategy revisionHistoryLimit:i minReadySeconds:I \
        persistentVolumeClaimRetentionPolicy:ClaimRetentionPolicy ordinals:StatefulSetOrdinals
        StatefulSetUpdateStrategy: type:s rollingUpdate:RollingUpdateStatefulSet
        RollingUpdateStatefulSet: partition:i maxUnavailable:x
        ClaimRetentionPolicy: whenDeleted:s whenScaled:s
        StatefulSetOrdinals: start:i
        StatefulSetStatus: observedGeneration:L replicas:i readyReplicas:I currentReplicas:I updatedReplicas:I \
        currentRevision:s updateRevision:s collisionCount:i conditions:[Condition]@type availableReplicas:i
        DaemonSet: kind:s apiVersion:s metadata:ObjectMeta spec:DaemonSetSpec status:DaemonSetStatus
        DaemonSetSpec: selector:LabelSelector template:PodTemplateSpec updateStrategy:DaemonSetUpdateStrategy \
        minReadySeconds:I revisionHistoryLimit:i
        DaemonSetUpdateStrategy: type:s rollingUpdate:RollingUpdateDaemonSet
        RollingUpdateDaemonSet: maxUnavailable:x maxSurge:x
        DaemonSetStatus: currentNumberScheduled:i numberMisscheduled:i desiredNumberScheduled:i numberReady:i \
        observedGeneration:L updatedNumberScheduled:I numberAvailable:I numberUnavailable:I collisionCount:i \
        conditions:[Condition]@type
        Job: kind:s apiVersion:s metadata:ObjectMeta spec:JobSpec status:JobStatus
        JobSpec: parallelism:i completions:i activeDeadlineSeconds:l podFailurePolicy:o successPolicy:o backoffLimit:i \
        backoffLimitPerIndex:i maxFailedIndexes:i selector:LabelSelector manualSelector:b template:PodTemplateSpec \
        ttlSecondsAfterFinished:i completionMode:s suspend:b podReplacementPolicy:s managedBy:s
        JobStatus: conditions:[Condition]@type startTime:t completionTime:t active:I succeeded:I failed:I terminating:i \
        completedIndexes:s failedIndexes:s uncountedTerminatedPods:UncountedPods ready:i
        UncountedPods: succeeded:[s]@ failed:[s]@
        ControllerRevision: kind:s apiVersion:s metadata:ObjectMeta data:o! revision:l
        """

    static let services = """
        Service: kind:s apiVersion:s metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus
        ServiceSpec: ports:[ServicePort]@port,protocol selector:ms! clusterIP:s clusterIPs:[s] type:s externalIPs:[s] \
        sessionAffinity:s loadBalancerIP:s loadBalancerSourceRanges:[s] externalName:s externalTrafficPolicy:s \
        healthCheckNodePort:I publishNotReadyAddresses:B sessionAffinityConfig:o ipFamilies:[s] ipFamilyPolicy:s \
        allocateLoadBalancerNodePorts:b loadBalancerClass:s internalTrafficPolicy:s trafficDistribution:s
        ServicePort: name:s protocol:s appProtocol:s port:i targetPort:x nodePort:I
        ServiceStatus: loadBalancer:o conditions:[Condition]@type
        Endpoints: kind:s apiVersion:s metadata:ObjectMeta subsets:[EndpointSubset]
        EndpointSubset: addresses:[EndpointAddress] notReadyAddresses:[EndpointAddress] ports:[EndpointPort]
        EndpointAddress: ip:S hostname:s nodeName:s targetRef:ObjectReference
        EndpointPort: name:s port:i protocol:s appProtocol:s
        EndpointSlice: kind:s apiVersion:s metadata:ObjectMeta addressType:S endpoints:o! ports:o!
        """

    static let pods = """
        PodTemplateSpec: metadata:ObjectMeta spec:PodSpec
        Pod: kind:s apiVersion:s metadata:ObjectMeta spec:PodSpec status:PodStatus
        PodSpec: volumes:[Volume]@name^ initContainers:[Container]@name containers:[Container]@name \
        ephemeralContainers:[EphemeralContainer]@name restartPolicy:s terminationGracePeriodSeconds:l \
        activeDeadlineSeconds:l dnsPolicy:s nodeSelector:ms! serviceAccountName:s serviceAccount:s \
        automountServiceAccountToken:b nodeName:s hostNetwork:B hostPID:B hostIPC:B shareProcessNamespace:b \
        securityContext:PodSecurityContext imagePullSecrets:[LocalObjectReference]@name hostname:s subdomain:s \
        affinity:o schedulerName:s tolerations:[Toleration] hostAliases:[HostAlias]@ip priorityClassName:s priority:i \
        dnsConfig:PodDNSConfig readinessGates:[PodReadinessGate] runtimeClassName:s enableServiceLinks:b \
        preemptionPolicy:s overhead:mq topologySpreadConstraints:[o]@topologyKey,whenUnsatisfiable setHostnameAsFQDN:b os:PodOS hostUsers:b \
        schedulingGates:[o]@name resourceClaims:[o]@name resources:ResourceRequirements hostnameOverride:s
        Volume: name:S hostPath:HostPathVolumeSource emptyDir:EmptyDirVolumeSource gcePersistentDisk:o \
        awsElasticBlockStore:o gitRepo:o secret:SecretVolumeSource nfs:o iscsi:o glusterfs:o \
        persistentVolumeClaim:PersistentVolumeClaimVolumeSource rbd:o flexVolume:o cinder:o cephfs:o flocker:o \
        downwardAPI:DownwardAPIVolumeSource fc:o azureFile:o configMap:ConfigMapVolumeSource vsphereVolume:o quobyte:o \
        azureDisk:o photonPersistentDisk:o projected:o portworxVolume:o scaleIO:o storageos:o csi:o ephemeral:o image:o
        HostPathVolumeSource: path:S type:S
        EmptyDirVolumeSource: medium:s sizeLimit:q
        SecretVolumeSource: secretName:s items:[KeyToPath] defaultMode:i optional:b
        ConfigMapVolumeSource: name:s items:[KeyToPath] defaultMode:i optional:b
        KeyToPath: key:S path:S mode:i
        PersistentVolumeClaimVolumeSource: claimName:S readOnly:B
        DownwardAPIVolumeSource: items:[DownwardAPIVolumeFile] defaultMode:i
        DownwardAPIVolumeFile: path:S fieldRef:ObjectFieldSelector resourceFieldRef:o mode:i
        Container: name:S image:s command:[s] args:[s] workingDir:s ports:[ContainerPort]@containerPort,protocol \
        envFrom:[EnvFromSource] env:[EnvVar]@name resources:ResourceRequirements resizePolicy:[o] restartPolicy:s \
        restartPolicyRules:[o] volumeMounts:[VolumeMount]@mountPath volumeDevices:[VolumeDevice]@devicePath \
        livenessProbe:Probe readinessProbe:Probe startupProbe:Probe lifecycle:Lifecycle terminationMessagePath:s \
        terminationMessagePolicy:s imagePullPolicy:s securityContext:SecurityContext stdin:B stdinOnce:B tty:B
        EphemeralContainer: name:S image:s command:[s] args:[s] workingDir:s ports:[ContainerPort]@containerPort,protocol \
        envFrom:[EnvFromSource] env:[EnvVar]@name resources:ResourceRequirements resizePolicy:[o] restartPolicy:s \
        volumeMounts:[VolumeMount]@mountPath volumeDevices:[VolumeDevice]@devicePath livenessProbe:Probe \
        readinessProbe:Probe startupProbe:Probe lifecycle:Lifecycle terminationMessagePath:s terminationMessagePolicy:s \
        imagePullPolicy:s securityContext:SecurityContext stdin:B stdinOnce:B tty:B targetContainerName:s
        ContainerPort: name:s hostPort:I containerPort:i protocol:s hostIP:s
        EnvFromSource: prefix:s configMapRef:ConfigMapEnvSource secretRef:SecretEnvSource
        ConfigMapEnvSource: name:s optional:b
        SecretEnvSource: name:s optional:b
        EnvVar: name:S value:s valueFrom:EnvVarSource
        EnvVarSource: fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector \
        configMapKeyRef:ConfigMapKeySelector secretKeyRef:SecretKeySelector fileKeyRef:o
        ObjectFieldSelector!: apiVersion:s fieldPath:S
        ResourceFieldSelector!: containerName:s resource:S divisor:q
        ConfigMapKeySelector!: name:s key:S optional:b
        SecretKeySelector!: name:s key:S optional:b
        ResourceRequirements: limits:mq requests:mq claims:[o]@name
        VolumeMount: name:S readOnly:B recursiveReadOnly:s mountPath:S subPath:s mountPropagation:s subPathExpr:s
        VolumeDevice: name:S devicePath:S
        Probe: exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction grpc:GRPCAction initialDelaySeconds:I \
        timeoutSeconds:I periodSeconds:I successThreshold:I failureThreshold:I terminationGracePeriodSeconds:l
        ExecAction: command:[s]
        HTTPGetAction: path:s port:x host:s scheme:s httpHeaders:[HTTPHeader]
        HTTPHeader: name:S value:S
        TCPSocketAction: port:x host:s
        GRPCAction: port:i service:S
        Lifecycle: postStart:LifecycleHandler preStop:LifecycleHandler stopSignal:s
        LifecycleHandler: exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction sleep:SleepAction
        SleepAction: seconds:l
        SecurityContext: capabilities:Capabilities privileged:b seLinuxOptions:o windowsOptions:o runAsUser:l runAsGroup:l \
        runAsNonRoot:b readOnlyRootFilesystem:b allowPrivilegeEscalation:b procMount:s seccompProfile:o appArmorProfile:o
        Capabilities: add:[s] drop:[s]
        PodSecurityContext: seLinuxOptions:o windowsOptions:o runAsUser:l runAsGroup:l runAsNonRoot:b \
        supplementalGroups:[l] supplementalGroupsPolicy:s fsGroup:l sysctls:[o] fsGroupChangePolicy:s seccompProfile:o \
        appArmorProfile:o seLinuxChangePolicy:s
        Toleration: key:s operator:s value:s effect:s tolerationSeconds:l
        HostAlias: ip:S hostnames:[s]
        PodDNSConfig: nameservers:[s] searches:[s] options:[PodDNSConfigOption]
        PodDNSConfigOption: name:s value:s
        PodReadinessGate: conditionType:S
        PodOS: name:S
        PodStatus: observedGeneration:L phase:s conditions:[Condition]@type message:s reason:s nominatedNodeName:s hostIP:s \
        hostIPs:[HostIP]@ip! podIP:s podIPs:[HostIP]@ip startTime:t initContainerStatuses:[o] containerStatuses:[o] \
        qosClass:s ephemeralContainerStatuses:[o] resize:s resourceClaimStatuses:[o] allocatedResources:mq resources:o \
        extendedResourceClaimStatus:o
        HostIP: ip:S
        """
}
