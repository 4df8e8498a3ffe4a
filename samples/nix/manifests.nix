# One Deployment, which runs whatever the profile leads to, again and again. "host" is the playground's image of this
# machine's own programs.
let
  labels = {
    app = "greeter";
  };
  profile = "/nix/var/nix/profiles/greeter";
in
[
  {
    apiVersion = "apps/v1";
    kind = "Deployment";
    metadata = {
      name = "greeter";
      inherit labels;
    };
    spec = {
      replicas = 1;
      selector.matchLabels = labels;
      template = {
        metadata = {
          inherit labels;
        };
        spec = {
          terminationGracePeriodSeconds = 2;
          containers = [
            {
              name = "greeter";
              image = "host";
              imagePullPolicy = "IfNotPresent";
              command = [
                "sh"
                "-c"
                "trap 'exit 0' TERM; while :; do [ ! -e ${profile} ] || sh ${profile}; sleep 1 & wait $!; done"
              ];
            }
          ];
        };
      };
    };
  }
]
