{
  description = "A service and its manifests, built by Nix alone: no nixpkgs, no network";

  outputs =
    { self }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEach = make: builtins.listToAttrs (map (system: { name = system; value = make system; }) systems);

      # A text file. The shell's own printf is all that it takes, so that any sandbox will do.
      write =
        system: name: text:
        derivation {
          inherit system name text;
          builder = "/bin/sh";
          args = [
            "-c"
            "printf '%s' \"$text\" >\"$out\""
          ];
        };

      # A store path of its own: it changes when this folder does, not with every file of the flake.
      source = builtins.path {
        path = ./greeter;
        name = "greeter-source";
      };
    in
    {
      packages = forEach (system: {
        # What the pods run. It refers to its source, so that both belong to its closure.
        greeter = write system "greeter" ''
          . ${source}/greet.sh
          greet "${builtins.replaceStrings [ "\n" ] [ "" ] (builtins.readFile ./greeter/name.txt)}"
        '';

        # What the cluster holds.
        manifests = write system "manifests.json" (builtins.toJSON (import ./manifests.nix));
      });
    };
}
