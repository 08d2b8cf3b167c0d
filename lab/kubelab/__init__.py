"""Real Kubernetes nodes on one Debian machine: User-Mode Linux kernels, no KVM, no Docker, no prebuilt image."""
