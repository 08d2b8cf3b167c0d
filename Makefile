# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.DEFAULT_GOAL := help
.PHONY: help setup pins lab demo test lint sanity unit node integration e2e bench proof clean
.PHONY: docs tutorial kind-cluster kind-switch kind-logs kind-down

STAGES := .venv/bin/python -m tools.stages
KIND := PYTHONPATH=lab .venv/bin/python -m tools.kind

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: ## .venv with pinned tools, and the link that makes the checkout a collection (quick when done)
	@tools/setup

pins: ## take the newest tools: write requirements-*.txt anew from requirements-*.in
	@tools/setup --pins

lab: setup ## build what the lab's nodes are made of
	@PATH="$(CURDIR)/.venv/bin:$$PATH" lab/lab build

demo: setup ## a three-node cluster, switched to IPVS before your eyes
	@PATH="$(CURDIR)/.venv/bin:$$PATH" python -m tools.demo

test: setup ## every stage from lint to e2e; the last line counts
	@$(STAGES)

lint: setup ## style, types, licences, documentation, interfaces
	@$(STAGES) lint

sanity: setup ## ansible-test sanity on what would be published
	@$(STAGES) sanity

unit: setup ## tests of parsers, planners, tools
	@$(STAGES) unit

node: setup ## tests of the modules on a real node
	@$(STAGES) node

integration: setup ## ansible-test's integration targets against a real node
	@$(STAGES) integration

e2e: setup ## tests of roles and playbooks on a real cluster
	@$(STAGES) e2e

bench: setup ## what is fast is compared with other tools, side by side; prints tables
	@$(STAGES) bench

proof: setup ## what is too long for CI: the benchmarks and the long tests (hours)
	@$(STAGES) bench proof

tutorial: setup ## type docs/tutorial.md's commands again, and write what they print into it
	@PATH="$(CURDIR)/.venv/bin:$$PATH" python -m tools.tutorial

docs: setup ## the documentation as a site below .cache/site, its links checked
	@$(STAGES) docs

kind-cluster: setup ## a kind cluster, checked (needs Docker; KUBERNETES=1.34 to 1.37, ANSIBLE_CORE=2.18 to newest)
	@$(KIND) cluster

kind-switch: setup ## the kind cluster in another mode, checked, twice: MODE=nftables
	@$(KIND) switch $(MODE)

kind-logs: setup ## what kind collects of its nodes, below .cache/kind
	@$(KIND) logs

kind-down: setup ## remove the kind cluster
	@$(KIND) down

clean: ## remove what set-up and the gates made in this checkout (not the lab's cache)
	rm -rf .venv .cache .ansible collections
