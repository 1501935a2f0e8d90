import type { Environment, ReleaseDetail } from "@millrace/sdk/api";
import { useParams } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { Promote } from "../delivery/actions";
import { objectAt, short } from "../delivery/subject";
import { bytes, count } from "../format";
import { Badge, Empty, Facts, Page, Panel, Read, Table, Time } from "../ui";

/** One release: the commit, who signed and checked it, what it is made of, and where it is. */
export function Release() {
  const { digest = "" } = useParams({ strict: false });
  const release = useApi<ReleaseDetail>(`/releases/${encodeURIComponent(digest)}`, 15_000);
  const { data } = release;
  const environments = useApi<Listed<Environment>>(data === undefined ? undefined : `/environments?project=${encodeURIComponent(data.project)}`);
  const all = environments.data?.items ?? [];
  const here = all.filter((one) => one.holds.some((held) => held.release === data?.digest));
  return (
    <Page
      title={`Release ${short(data?.digest ?? digest)}`}
      about={data === undefined ? "" : `of ${data.project}`}
      actions={
        data !== undefined && (
          <Promote what={{ kind: "release", release: data.digest, model: null, version: null }} to={all.filter((one) => !here.includes(one))} />
        )
      }
    >
      <Read query={release}>
        {(of) => (
          <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 lg:grid-cols-[minmax(0,1fr)_minmax(0,1fr)]">
            <Panel title="What it is">
              <Facts
                of={[
                  [
                    "digest",
                    <code key="digest" className="break-all text-[12px]">
                      {of.digest}
                    </code>,
                  ],
                  [
                    "commit",
                    <code key="commit" className="break-all text-[12px]">
                      {of.commit}
                    </code>,
                  ],
                  [
                    "authors",
                    <span key="authors" className="break-all">
                      {of.authors.length === 0 ? "–" : of.authors.join(", ")}
                    </span>,
                  ],
                  [
                    "made known",
                    <span key="made">
                      by {of.createdBy} <Time at={of.createdAt} />
                    </span>,
                  ],
                  ["held by", here.length === 0 ? "no environment" : here.map((one) => one.name).join(", ")],
                  [
                    "made of",
                    <span key="parts" className="flex flex-wrap gap-x-3">
                      <a className="link" href={objectAt(of.manifest.sbom)} download="sbom.cdx.json" title={of.manifest.sbom}>
                        SBOM (CycloneDX)
                      </a>
                      <a className="link" href={objectAt(of.manifest.document)} download="project.json" title={of.manifest.document}>
                        definitions
                      </a>
                      <span className="text-muted">{count(of.manifest.files.length)} files</span>
                    </span>,
                  ],
                ]}
              />
            </Panel>
            <div className="space-y-3">
              <Panel title="Checks">
                {of.checks.length === 0 ? (
                  <Empty>Nothing has checked it yet.</Empty>
                ) : (
                  <ul className="space-y-1.5" aria-label="Checks">
                    {of.checks.map((one) => (
                      <li key={`${one.addedAt} ${one.addedBy}`} className="flex flex-wrap items-center gap-x-2">
                        <Badge tone={one.passed ? "ok" : "bad"}>{one.passed ? "passed" : "failed"}</Badge>
                        <span className="min-w-0 break-words">{one.summary}</span>
                        {one.report !== null && (
                          <a className="link" href={objectAt(one.report)} download="check.json" title={one.report}>
                            report
                          </a>
                        )}
                        <span className="ml-auto text-muted">
                          {one.addedBy} <Time at={one.addedAt} />
                        </span>
                      </li>
                    ))}
                  </ul>
                )}
              </Panel>
              <Panel title="Signatures">
                {of.signatures.length === 0 ? (
                  <Empty>Nobody has signed it yet.</Empty>
                ) : (
                  <ul className="space-y-1.5" aria-label="Signatures">
                    {of.signatures.map((one) => (
                      <li key={one.key} className="flex flex-wrap items-center gap-x-2">
                        <Badge tone="ok">signed</Badge>
                        <code className="break-all text-[12px]">{one.key}</code>
                        <span className="ml-auto text-muted">
                          {one.addedBy} <Time at={one.addedAt} />
                        </span>
                      </li>
                    ))}
                  </ul>
                )}
              </Panel>
            </div>
            <Panel title={`Files (${count(of.manifest.files.length)})`} className="lg:col-span-2" flush>
              <Table
                label="Files"
                rows={of.manifest.files}
                id={(one) => one.path}
                height={360}
                empty="It has no files."
                columns={[
                  {
                    head: "Path",
                    wide: true,
                    cell: (one) => (
                      <a className="link break-all" href={objectAt(one.digest)} download={one.path.split("/").at(-1)}>
                        {one.path}
                      </a>
                    ),
                  },
                  { head: "Size", right: true, cell: (one) => bytes(one.size) },
                  {
                    head: "Digest",
                    cell: (one) => (
                      <code className="text-[12px]" title={one.digest}>
                        {short(one.digest)}
                      </code>
                    ),
                  },
                ]}
              />
            </Panel>
          </div>
        )}
      </Read>
    </Page>
  );
}
