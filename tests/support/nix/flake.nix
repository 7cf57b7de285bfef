# As much of nixpkgs as flake.nix asks for: names in, values that show what they were made of.
{
  outputs =
    { self }:
    let
      package = name: {
        inherit name;
        type = "derivation";
        outPath = "/nix/store/00000000000000000000000000000000-${name}";
      };
      made = kind: name: about: package name // about // { inherit kind name; };
      genAttrs =
        names: make:
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = make name;
          }) names
        );
      pkgs = system: {
        stdenv = {
          isLinux = builtins.match ".*-linux" system != null;
          cc = {
            cc.lib = package "gcc-lib";
            bintools.dynamicLinker = "/nix/store/00000000000000000000000000000000-glibc/lib/ld.so";
          };
        };
        addDriverRunpath.driverLink = "/run/opengl-driver";
        coreutils = package "coreutils";
        findutils = package "findutils";
        gnumake = package "gnumake";
        nixfmt = package "nixfmt";
        nixfmt-tree = package "nixfmt-tree";
        nodejs_22 = package "nodejs";
        patchelf = package "patchelf";
        zlib = package "zlib";
        python312 = package "python" // {
          withPackages =
            choose:
            made "python with packages" "python" {
              packages = choose (genAttrs [ "hypothesis" "numpy" "pytest" "pytest-asyncio" ] package);
            };
        };
        mkShell = about: made "shell" "shell" about;
        runCommand = name: about: script: made "command" name (about // { inherit script; });
        writeShellApplication = about: made "program" about.name about;
      };
    in
    {
      lib = {
        inherit genAttrs;
        makeLibraryPath = folders: builtins.concatStringsSep ":" (map (one: "${one}/lib") folders);
        optional = wanted: value: if wanted then [ value ] else [ ];
        optionalAttrs = wanted: value: if wanted then value else { };
        optionalString = wanted: value: if wanted then value else "";
      };
      legacyPackages = genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] pkgs;
    };
}
