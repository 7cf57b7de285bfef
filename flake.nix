# Nix brings Python, Node.js and the loader; the Python packages are the wheels of PyPI at the
# versions of constraints.txt, put into a folder of their own at the first start.
{
  description = "Stylize live video with a neural style, frame by frame";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;

      # Ray has wheels for these; Torch has CUDA in its wheels for the first only.
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];
      forEach = lib.genAttrs systems;
      withCuda = system: system == "x86_64-linux";

      parts =
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system};
          inherit (pkgs.stdenv) isLinux;
          python = pkgs.python312;

          # What wheels expect of the system. The driver's libcuda is never a package's.
          libraries =
            cuda:
            lib.optionalString isLinux (
              lib.optionalString cuda "${pkgs.addDriverRunpath.driverLink}/lib:"
              + lib.makeLibraryPath [
                pkgs.stdenv.cc.cc.lib
                pkgs.zlib
              ]
            );

          # streamer-install FOLDER STATE PIP-ARGUMENT...: makes a virtual environment, with
          # streamer in it; when that is done, its file `state` says STATE.
          install = pkgs.writeShellApplication {
            name = "streamer-install";
            runtimeInputs = [
              python
              pkgs.coreutils
              pkgs.findutils
              pkgs.nodejs_22
            ]
            ++ lib.optional isLinux pkgs.patchelf;
            text = ''
              folder=$1
              state=$2
              shift 2
              echo "installing streamer into $folder, once; this takes minutes" >&2
              python3 -m venv --clear "$folder"
              "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
                --constraint ${./constraints.txt} "$@"
            ''
            # Ray's own programs name the loader of another Linux, which NixOS does not have.
            + lib.optionalString isLinux ''
              find "$folder/lib" -type f -perm -u+x -print0 | while IFS= read -r -d "" program; do
                if patchelf --print-interpreter "$program" > /dev/null 2>&1; then
                  patchelf --set-interpreter ${pkgs.stdenv.cc.bintools.dynamicLinker} "$program"
                fi
              done
            ''
            + ''
              echo "$state" > "$folder/state"
            '';
          };

          program =
            {
              name,
              extras,
              cuda,
            }:
            pkgs.writeShellApplication {
              inherit name;
              runtimeInputs = [
                install
                pkgs.coreutils
              ];
              text = ''
                unset PYTHONPATH
                export LD_LIBRARY_PATH="${libraries cuda}''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
                folder="''${XDG_CACHE_HOME:-$HOME/.cache}/streamer/${name}"
                if [ "$(cat "$folder/state" 2> /dev/null || true)" != "${self}" ]; then
                  # The build writes beside its sources, which nobody may do in the store.
                  source=$(mktemp -d)
                  trap 'rm -rf "$source"' EXIT
                  cp -R --no-preserve=mode,ownership "${self}/." "$source"
                  streamer-install "$folder" "${self}" "stylestreamer${extras} @ file://$source"
                  rm -rf "$source"
                fi
                exec "$folder/bin/streamer" "$@"
              '';
              meta.mainProgram = name;
            };

          shell =
            {
              name,
              extras,
              cuda,
            }:
            pkgs.mkShell {
              packages = [
                install
                python
                pkgs.gnumake
                pkgs.nodejs_22
              ];
              LD_LIBRARY_PATH = libraries cuda;
              shellHook = ''
                unset PYTHONPATH
                folder="$PWD/.venv-nix-${name}"
                state="${python} $(cat pyproject.toml constraints.txt | cksum)"
                if [ "$(cat "$folder/state" 2> /dev/null)" != "$state" ]; then
                  streamer-install "$folder" "$state" --editable ".${extras}"
                fi
                export PATH="$folder/bin:$PATH"
              '';
            };

        in
        {
          packages = {
            default = program {
              name = "streamer";
              extras = "";
              cuda = false;
            };
          }
          // lib.optionalAttrs (withCuda system) {
            cuda = program {
              name = "streamer-cuda";
              extras = "[torch]";
              cuda = true;
            };
          };

          devShells = {
            default = shell {
              name = "onnx";
              extras = "[dev]";
              cuda = false;
            };
          }
          // lib.optionalAttrs (withCuda system) {
            cuda = shell {
              name = "cuda";
              extras = "[dev,torch]";
              cuda = true;
            };
          };

          formatter = pkgs.nixfmt-tree;

          # Without a network, so no wheels: what needs none of them.
          checks = {
            format = pkgs.runCommand "format" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
              nixfmt --check ${./flake.nix}
              touch $out
            '';
            pure =
              let
                small = python.withPackages (p: [
                  p.hypothesis
                  p.numpy
                  p.pytest
                  p.pytest-asyncio
                ]);
              in
              pkgs.runCommand "pure" { nativeBuildInputs = [ small ]; } ''
                cd ${self}
                python -m pytest --noconftest -p no:cacheprovider -o filterwarnings= \
                  tests/pipeline/test_fade.py tests/pipeline/test_governor.py \
                  tests/pipeline/test_intake.py tests/pipeline/test_pacer.py \
                  tests/pipeline/test_reorder.py tests/pipeline/test_stats.py
                touch $out
              '';
          };
        };
    in
    {
      packages = forEach (system: (parts system).packages);
      devShells = forEach (system: (parts system).devShells);
      formatter = forEach (system: (parts system).formatter);
      checks = forEach (system: (parts system).checks);
      apps = forEach (system: {
        default = {
          type = "app";
          program = "${(parts system).packages.default}/bin/streamer";
        };
      });
    };
}
