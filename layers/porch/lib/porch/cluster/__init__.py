"""What porch asks a Kubernetes cluster, and how. Loaded only when a kubeconfig is given: free to import."""
