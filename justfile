# Everything that is done with this workspace, by name. `just ci` is what a pull request must pass.

set shell := ["bash", "-euo", "pipefail", "-c"]

# A recipe never downloads a toolchain silently: what it needs beyond rustup's Rust, it takes from Debian.
export RUSTUP_DIST_SERVER := "http://127.0.0.1:9"

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
bare_metal := "thumbv7em-none-eabihf"
libraries := "relink relink-v1 relink-node relink-profiles relink-wire relink-driver relink-tokio relink-async-std relink-server relink-testing relink-sim"
# Features with a dependency that needs a newer Rust than the rest: rcgen, proptest.
newer := "relink-testing/tls relink-testing/conformance relink-sim/proptest"

# List the recipes
default:
    @just --list --unsorted

# All that a pull request must pass
ci: commits test fmt lint doc no-std features msrv publish-check applications interop worlds webrtc terminal native-tls fuzz-smoke bench-check demo

# Run the tests; they need nothing but Rust
test:
    cargo test --workspace

# Check the formatting
fmt:
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    cargo fmt --manifest-path crates/relink-bench/Cargo.toml --check
    cargo fmt --manifest-path crates/relink-applications/Cargo.toml --check
    cargo fmt --manifest-path crates/relink-native-tls/Cargo.toml --check

# Check with clippy: everything, and the core in its smallest form
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo clippy -p relink --no-default-features -- -D warnings

# Build the documentation, private items included
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --document-private-items

# Build what is no_std for a microcontroller: the link without an allocator, the rest with one
no-std: (_debian "rustc-web" "cargo-web" "rust-web-src" "lld")
    {{ just_executable() }} _bare-metal core -p relink --no-default-features
    {{ just_executable() }} _bare-metal core,alloc -p relink -p relink-v1 -p relink-node -p relink-profiles

_bare-metal std *flags:
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo build -Zbuild-std={{ std }} --target {{ bare_metal }} {{ flags }}

# Check the libraries without features, with each feature alone, and with all
features:
    #!/usr/bin/env bash
    set -euo pipefail
    {{ just_executable() }} _feature-sets | while read -r flags; do
        echo "$flags"
        cargo clippy --quiet --lib $flags -- -D warnings
    done

# One line of flags for each check of a library, without the features named
_feature-sets without="":
    #!/usr/bin/env python3
    import json, subprocess
    metadata = subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version=1"])
    packages = {package["name"]: package for package in json.loads(metadata)["packages"]}
    without = set("{{ without }}".split())
    for crate in "{{ libraries }}".split():
        features = sorted(set(packages[crate]["features"]) - {"default"})
        kept = [feature for feature in features if f"{crate}/{feature}" not in without]
        for chosen in dict.fromkeys(["", *kept, ",".join(kept)]):
            print("-p", crate, "--no-default-features", f"--features={chosen}")

# Check the libraries with the oldest Rust they promise to build on, with each feature
msrv: _oldest-rust
    #!/usr/bin/env bash
    set -euo pipefail
    root="{{ target }}/msrv/root"
    export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/usr/lib:$root/lib/x86_64-linux-gnu"
    export RUSTC="$root/usr/bin/rustc" CARGO_TARGET_DIR="{{ target }}/msrv/build"
    "$RUSTC" --version
    {{ just_executable() }} _feature-sets "{{ newer }}" | while read -r flags; do
        echo "$flags"
        cargo check --quiet --lib $flags
    done

# Check that every crate can be published: its package is built as crates.io would have it
publish-check:
    cargo publish --workspace --dry-run --allow-dirty

# Build and test three applications that depend on the packed crates alone, as users do
applications:
    #!/usr/bin/env bash
    set -euo pipefail
    packed="{{ target }}/packed"
    rm -rf "$packed"
    mkdir -p "$packed"
    cargo package --workspace --no-verify --allow-dirty --quiet
    for crate in {{ libraries }}; do
        tar --extract --file "{{ target }}"/package/"$crate"-[0-9]*.crate --directory "$packed"
        echo "patch.crates-io.$crate.path = \"$(echo "$packed/$crate"-[0-9]*)\"" >>"$packed/packed.toml"
    done
    CARGO_TARGET_DIR="{{ target }}/applications" cargo test --manifest-path crates/relink-applications/Cargo.toml --config "$packed/packed.toml"

# Check the subjects of the commits since the last release
commits:
    .ci/commits

# Not in `ci`, since its tool takes two minutes to build.
# Check licences, sources and unwanted dependencies; `just deny advisories` needs the network
deny what="bans licenses sources": (_cargo-tool "cargo-deny")
    cargo deny check {{ what }}

# Not in `ci`, since its tool takes ten minutes to build.
# Check that the version has been raised as the changes of the API ask for, against the last tag
semver: (_cargo-tool "cargo-semver-checks")
    #!/usr/bin/env bash
    set -euo pipefail
    if ! tag=$(git describe --tags --abbrev=0 2>/dev/null); then echo "no release to compare with"; exit; fi
    cargo semver-checks --baseline-rev "$tag"

# Release a version, after `just ci`: without `publish`, shows what would be done
release version *publish: commits deny semver
    .ci/release {{ version }} {{ publish }}

# Run each fuzz target for a short while
fuzz-smoke seconds="20": (_cargo-tool "cargo-fuzz")
    #!/usr/bin/env bash
    set -euo pipefail
    export RUSTC_BOOTSTRAP=1 # The stable compiler has the sanitizer that cargo-fuzz asks for.
    targets=$(cargo fuzz list)
    cargo fuzz build
    for name in $targets; do
        echo "fuzz: $name, {{ seconds }} s"
        cargo fuzz run "$name" -- -max_total_time={{ seconds }} -print_final_stats=1
    done

# `cluster` and `rolling` are about nodes that are killed and replaced under 1,000 clients, `load` is below.
# Check against programs that others wrote: npm's ws, PyPI's websockets, deepstream, Metered's client, Autobahn, Redis, HAProxy; and with many clients at once
interop what="all": _interop-tools (_debian "redis-server" "haproxy")
    cargo build --release -p relink-cli -p relink-interop --features relink-interop/redis
    cargo test --release -p relink-interop --features redis
    "{{ target }}/release/relink-interop" {{ what }} --tools "{{ target }}/interop"
    {{ if what == "all" { just_executable() + " redis" } else { "" } }}

# Half an hour, so that `interop` has a part of it. Run every case of Autobahn, those of compression included, in both roles
autobahn-all: _autobahn (_command "ip" "iproute2")
    cargo build --release -p relink-interop --features redis
    "{{ target }}/release/relink-interop" autobahn-all --tools "{{ target }}/interop"

# Check the history in Redis against a Redis server of its own
redis: (_command "redis-server" "redis-server")
    cargo test -p relink-server --features redis --test server redis_
    cargo test -p relink-cli --features redis --test cli serve_v1

# Run `relink.v1` through 10,000 worlds of trouble, in virtual time
worlds:
    RELINK_WORLDS=1430 cargo test --release -p relink-sim --test delivery

# Not in `ci`: each run draws anew, and what it finds is a case for the model, the link, or both.
# Run the properties of a link through 80,000 schedules, in virtual time
schedules:
    PROPTEST_CASES=20000 cargo test --release -p relink-sim --test properties

# Measure 10,000 links to one server: memory, processor, heartbeats (docs/performance.md)
load:
    cargo build --profile dist -p relink-interop --features redis
    "{{ target }}/dist/relink-interop" load

# On an otherwise idle machine, and some minutes long; `just bench quick` tries the same, and prints it.
# Measure relink beside other clients, idle links, and how costs grow; writes a part of docs/performance.md
bench *quick: (_command "valgrind" "valgrind")
    cargo run --release --manifest-path crates/relink-bench/Cargo.toml --features peers -- {{ quick }}

# Compare what does not depend on the load of the machine with crates/relink-bench/ceilings.txt
bench-check: (_command "valgrind" "valgrind")
    cargo run --release --manifest-path crates/relink-bench/Cargo.toml -- check

# Check the example `banner`, also in a real terminal, as a person uses it
terminal: (_command "tmux" "tmux")
    cargo test -p relink-examples --features tmux

# Check the example `peers`, which takes a C library to build
webrtc:
    cargo test -p relink-examples --features webrtc

# Check relink-native-tls, which takes the headers of OpenSSL to build
native-tls: (_debian "libssl-dev" "pkg-config")
    cargo clippy --manifest-path crates/relink-native-tls/Cargo.toml --target-dir "{{ target }}/native-tls" --all-targets -- -D warnings
    cargo test --manifest-path crates/relink-native-tls/Cargo.toml --target-dir "{{ target }}/native-tls"

# Run the demonstration
demo:
    cargo run --release -p relink-cli -- demo

# Write what is generated anew: the transition tables, a diagram, the list of invariants, the matrix of requirements, the settings
diagram:
    RELINK_UPDATE=1 cargo test -p relink -p relink-profiles -p relink-node --test transitions --test proofs --test conformance
    RELINK_UPDATE=1 cargo test -p relink-server --test configuration

# Debian packages, installed where they are missing
_debian +packages:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! dpkg --status {{ packages }} >/dev/null 2>&1; then
        apt-get update --quiet
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends {{ packages }}
    fi

_cargo-tool name:
    command -v {{ name }} >/dev/null || cargo install {{ name }} --locked

# Debian's build of the oldest Rust, unpacked beside the installed one
_oldest-rust:
    #!/usr/bin/env bash
    set -euo pipefail
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    folder="{{ target }}/msrv"
    if [ -x "$folder/root/usr/bin/rustc" ]; then exit; fi
    find_version() { apt-cache madison rustc-web | awk -v v="$oldest." 'index($3, v) == 1 && !found++ { print $3 }'; }
    version=$(find_version)
    if [ -z "$version" ]; then apt-get update --quiet; version=$(find_version); fi
    if [ -z "$version" ]; then echo "Debian has no rustc-web $oldest" >&2; exit 1; fi
    rm -rf "$folder" && mkdir -p "$folder/packages" && cd "$folder/packages"
    apt-get download {rustc-web,cargo-web,libstd-rust-web-dev,"libstd-rust-web-$oldest"}="$version" libllvm19 libpcre3
    for package in *.deb; do dpkg --extract "$package" ../unpacked; done
    mv ../unpacked ../root

# The programs that `interop` talks to, kept in the target folder
_interop-tools: (_command "node" "nodejs") (_command "npm" "npm") (_command "pip3" "python3-pip") (_command "ip" "iproute2") _autobahn
    npm install --silent --no-fund --no-audit --prefix "{{ target }}/interop" ws@8.23.0 @metered-ca/realtime@1.2.0
    mkdir -p "{{ target }}/interop/deepstream"
    cp -r crates/relink-interop/servers/deepstream/. "{{ target }}/interop/deepstream"
    npm install --silent --no-fund --no-audit --ignore-scripts --prefix "{{ target }}/interop/deepstream"
    [ -d "{{ target }}/interop/websockets" ] || python3 -m pip install --quiet --disable-pip-version-check \
        --target "{{ target }}/interop/websockets" websockets==17.4

_command name package:
    command -v {{ name }} >/dev/null || {{ just_executable() }} _debian {{ package }}

# Autobahn runs on Python 2.7 only, which pyenv still builds
_autobahn:
    #!/usr/bin/env bash
    set -euo pipefail
    folder="{{ target }}/interop/autobahn"
    if [ -e "$folder/python" ]; then exit; fi
    python="${PYENV_ROOT:-$HOME/.pyenv}/versions/2.7.18/bin/python"
    if [ ! -x "$python" ]; then echo "Autobahn needs Python 2.7: pyenv install 2.7.18" >&2; exit 1; fi
    rm -rf "$folder"
    "$python" -m pip install --quiet --disable-pip-version-check --target "$folder" autobahntestsuite==25.10.1
    touch "$folder/zope/__init__.py"
    ln -s "$python" "$folder/python"
