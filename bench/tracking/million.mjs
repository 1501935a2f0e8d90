/** A million runs with five metrics and three params each, put into the tables at once: their making is not what is measured. */
import { readFileSync } from "node:fs";
import path from "node:path";
import pg from "pg";

const runs = 1_000_000;
const portion = 100_000;

export async function makeMillion(dataDir) {
  const postgres = path.join(dataDir, "postgres");
  const port = readFileSync(path.join(postgres, "cluster/postmaster.pid"), "utf8").split("\n")[3];
  const client = new pg.Client({
    host: "127.0.0.1",
    port: Number(port),
    user: "millrace",
    database: "postgres",
    password: readFileSync(path.join(postgres, "password"), "utf8"),
  });
  await client.connect();
  try {
    const { rows } = await client.query(
      `insert into experiment (name, artifact_location, creation_time, last_update_time) values ('load-search-${runs}', 'mlflow-artifacts:/load', 0, 0) returning id`,
    );
    const experiment = rows[0].id;
    for (let from = 0; from < runs; from += portion) {
      const numbers = `generate_series(${from}, ${from + portion - 1}) k`;
      const statements = [
        `insert into tracking_run (id, experiment_id, name, user_id, status, start_time) select md5('r' || k), ${experiment}, 'run-' || k, '', 'RUNNING', 1700000000000 + k from ${numbers}`,
        `insert into tracking_tag (run_id, key, value) select md5('r' || k), 'mlflow.runName', 'run-' || k from ${numbers}`,
        `insert into tracking_param (run_id, key, value) select md5('r' || k), p,
           case p when 'lr' then (array['0.1', '0.01', '0.001'])[k % 3 + 1] when 'depth' then (k % 10)::text else (array['sgd', 'adam'])[k % 2 + 1] end
         from ${numbers}, unnest(array['lr', 'depth', 'opt']) p`,
        `insert into tracking_latest_metric (run_id, experiment_id, key, step, timestamp, value)
         select md5('r' || k), ${experiment}, (array['acc', 'loss', 'f1', 'auc', 'rmse'])[j + 1], 0, 1700000000000, ((k::bigint * 7919 + j * 104729) % 100003) / 100003.0
         from ${numbers}, generate_series(0, 4) j`,
      ];
      for (const statement of statements) await client.query(statement);
      process.stderr.write(`${from + portion} of ${runs} runs made\n`);
    }
    await client.query("vacuum analyze");
  } finally {
    await client.end();
  }
}
