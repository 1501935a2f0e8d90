import { Badge, type Tone } from "../ui";

const routes: Record<string, [Tone, string]> = {
  stable: ["ok", "The version that answers answered"],
  candidate: ["info", "The version that is tried answered"],
  control: ["none", "The control of an experiment answered, which is the stable version"],
  arm: ["info", "A version of an experiment answered"],
  fallback: ["bad", "The version that is tried failed, and the stable version answered in its place"],
  shadow: ["none", "A copy of a request: nobody was answered with it"],
  pinned: ["warn", "The request named the version"],
  killed: ["bad", "The kill switch was on: the endpoint's fallback was answered"],
};
/** By what way a prediction was answered. */
export function Route({ of }: { of: string }) {
  const [tone, title] = routes[of] ?? ["none", undefined];
  return (
    <Badge tone={tone} title={title}>
      {of}
    </Badge>
  );
}
