# The habits of this repository. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench load chaos fuzz deny

help: ## Lists the habits.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## Runs the daemon with simulated carriers; needs nothing but cargo. Prints a key and a curl to paste.
	cargo run --locked -- demo

test: ## Format, lints, all tests on SQLite and Postgres, doc tests. Installs what it needs.
	.ci/test

lint: ## Format and lints only.
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

bench: ## Criterion benches of posting and of the accept transaction, on both engines.
	.ci/bench

load: ## Measures the release build under load and writes load-tests/RESULTS.md (about 20 minutes).
	load-tests/run.py all

chaos: ## kill -9 under load on both engines, two daemons on one Postgres; verifies the ledger each time.
	load-tests/chaos.py all

fuzz: ## Fuzzes what carriers send, each target for SECONDS=60; needs g++ for libFuzzer.
	.ci/fuzz $(or $(SECONDS),60)

deny: ## Licences, bans and sources of every dependency.
	.ci/deny
