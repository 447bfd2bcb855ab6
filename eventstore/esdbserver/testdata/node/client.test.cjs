// The official Node client against a foldstream server. It appends in batches,
// asks for ids as text and creates persistent subscriptions in the old form,
// none of which the Go client does.
//
// ESDB_URL names the server; NODE_PATH has the client. See node_test.go.
const { test } = require("node:test");
const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const db = require("@eventstore/db-client");

const client = db.EventStoreDBClient.connectionString(process.env.ESDB_URL);
const fresh = (name) => `${name}-${randomUUID().replaceAll("-", "")}`;
const counted = (n, metadata) => db.jsonEvent({ type: "node.counted", data: { n }, metadata });
const many = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => counted(from + i));

// take returns the next events that wanted accepts from a subscription or a read.
const take = async (stream, count, wanted = () => true) => {
  const got = [];
  for await (const resolved of stream) {
    if (!wanted(resolved)) continue;
    got.push(resolved);
    if (got.length === count) break;
  }
  return got;
};
const numbers = (resolved) => resolved.map((r) => r.event.data.n);
const collect = (read) => take(read, Infinity);

test.after(() => client.dispose());

test("what was appended is read back", async () => {
  const stream = fresh("node");
  const binary = db.binaryEvent({ type: "node.bytes", data: Buffer.from([0, 1, 255]), metadata: Buffer.from("any bytes") });
  const first = counted(1, { $correlationId: "c-1", nested: { n: 1 } });
  const result = await client.appendToStream(stream, [first, binary], { expectedRevision: db.NO_STREAM });
  assert.equal(result.success, true);
  assert.equal(result.nextExpectedRevision, 1n);
  assert.ok(result.position.commit > 0n);

  const [a, b] = await collect(client.readStream(stream));
  assert.equal(a.event.id, first.id);
  assert.equal(a.event.streamId, stream);
  assert.equal(a.event.revision, 0n);
  assert.deepEqual(a.event.data, { n: 1 });
  assert.deepEqual(a.event.metadata, { $correlationId: "c-1", nested: { n: 1 } });
  assert.ok(Math.abs(Date.now() - a.event.created.getTime()) < 60_000);
  assert.equal(b.event.isJson, false);
  assert.deepEqual(Buffer.from(b.event.data), Buffer.from([0, 1, 255]));
  assert.equal(Buffer.from(b.event.metadata).toString(), "any bytes");
  assert.equal(b.event.position.commit, result.position.commit);

  const back = await collect(client.readStream(stream, { direction: db.BACKWARDS, fromRevision: db.END, maxCount: 1 }));
  assert.equal(back[0].event.type, "node.bytes");
});

test("a large append comes in several messages and happens whole", async () => {
  const stream = fresh("node");
  const result = await client.appendToStream(stream, many(1, 5000));
  assert.equal(result.nextExpectedRevision, 4999n);
  assert.deepEqual(numbers(await collect(client.readStream(stream))), Array.from({ length: 5000 }, (_, i) => i + 1));
});

test("a wrong expected revision is refused with the actual one", async () => {
  const stream = fresh("node");
  await client.appendToStream(stream, many(1, 2));
  await assert.rejects(client.appendToStream(stream, counted(3), { expectedRevision: 0n }), (error) => {
    assert.ok(error instanceof db.WrongExpectedVersionError);
    assert.equal(error.actualVersion, 1n);
    return true;
  });
  await assert.rejects(client.appendToStream(stream, counted(3), { expectedRevision: db.NO_STREAM }), db.WrongExpectedVersionError);
});

test("an append that comes again is done once", async () => {
  const stream = fresh("node");
  const events = many(1, 3);
  const first = await client.appendToStream(stream, events, { expectedRevision: db.NO_STREAM });
  const again = await client.appendToStream(stream, events, { expectedRevision: db.NO_STREAM });
  assert.deepEqual(again, first);
  assert.equal((await collect(client.readStream(stream))).length, 3);
});

test("many appends at once keep apart", async () => {
  const streams = Array.from({ length: 200 }, () => fresh("node"));
  await Promise.all(streams.map((s, i) => client.appendToStream(s, counted(i), { expectedRevision: db.NO_STREAM })));
  for (const [i, s] of streams.entries()) assert.deepEqual(numbers(await collect(client.readStream(s))), [i]);
});

test("errors have their names", async () => {
  await assert.rejects(collect(client.readStream(fresh("node"))), db.StreamNotFoundError);
  const gone = fresh("node");
  await client.appendToStream(gone, counted(1));
  await client.tombstoneStream(gone);
  await assert.rejects(collect(client.readStream(gone)), db.StreamDeletedError);
  await assert.rejects(client.appendToStream(gone, counted(1)), db.StreamDeletedError);
  const huge = db.binaryEvent({ type: "node.bytes", data: Buffer.alloc(2 << 20) });
  await assert.rejects(client.appendToStream(fresh("node"), huge), db.MaxAppendSizeExceededError);
});

test("a deleted stream is not found and goes on with higher revisions", async () => {
  const stream = fresh("node");
  await client.appendToStream(stream, many(1, 3));
  await client.deleteStream(stream, { expectedRevision: 2n });
  await assert.rejects(collect(client.readStream(stream)), db.StreamNotFoundError);
  await client.appendToStream(stream, counted(4), { expectedRevision: db.NO_STREAM });
  const [only] = await collect(client.readStream(stream));
  assert.equal(only.event.revision, 3n);
});

test("metadata limits what is read", async () => {
  const stream = fresh("node");
  await client.appendToStream(stream, many(1, 5));
  await client.setStreamMetadata(stream, { maxCount: 2, mine: "kept" });
  assert.deepEqual(numbers(await collect(client.readStream(stream))), [4, 5]);
  const { metadata } = await client.getStreamMetadata(stream);
  assert.equal(metadata.maxCount, 2);
  assert.equal(metadata.mine, "kept");
});

test("a subscription goes from history to live", { timeout: 30_000 }, async () => {
  const stream = fresh("node");
  await client.appendToStream(stream, many(1, 3));
  const live = client.subscribeToStream(stream, { fromRevision: db.START });
  const got = take(live, 6);
  await client.appendToStream(stream, many(4, 6));
  assert.deepEqual(numbers(await got), [1, 2, 3, 4, 5, 6]);
});

test("a filtered subscription to all sees its own and checkpoints", { timeout: 30_000 }, async () => {
  const prefix = fresh("nodefilter");
  let checkpoints = 0;
  const live = client.subscribeToAll({
    fromPosition: db.START,
    filter: db.streamNameFilter({ prefixes: [prefix], checkpointInterval: 1, checkpointReached: async () => { checkpoints++; } }),
  });
  const got = take(live, 2);
  await client.appendToStream(`${prefix}-1`, counted(1));
  await client.appendToStream(fresh("other"), many(1, 100));
  await client.appendToStream(`${prefix}-2`, counted(2));
  assert.deepEqual(numbers(await got), [1, 2]);
  assert.ok(checkpoints > 0, "the server must say how far it is");
});

test("reading all backwards begins with the newest", async () => {
  const stream = fresh("node");
  const { position } = await client.appendToStream(stream, counted(1));
  const [newest] = await collect(client.readAll({ direction: db.BACKWARDS, fromPosition: db.END, maxCount: 1 }));
  assert.ok(newest.event.position.commit >= position.commit);
});

test("consumers of a persistent subscription share, ack, retry and park", { timeout: 60_000 }, async () => {
  const stream = fresh("node");
  await client.createPersistentSubscriptionToStream(
    stream, "workers", db.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: db.START, maxRetryCount: 1 }));
  await assert.rejects(
    client.createPersistentSubscriptionToStream(stream, "workers", db.persistentSubscriptionToStreamSettingsFromDefaults()),
    db.PersistentSubscriptionExistsError);
  await client.appendToStream(stream, many(1, 4));

  const consumer = client.subscribeToPersistentSubscriptionToStream(stream, "workers", { bufferSize: 1 });
  const seen = [];
  for await (const resolved of consumer) {
    const n = resolved.event.data.n;
    seen.push(`${n}/${resolved.retryCount}`);
    if (n === 2) await consumer.nack("retry", "not yet", resolved);
    else if (n === 3) await consumer.nack("park", "never", resolved);
    else await consumer.ack(resolved);
    if (n === 4) break;
  }
  await consumer.unsubscribe(); // leaving the loop alone keeps it connected
  assert.deepEqual(seen, ["1/0", "2/0", "2/1", "3/0", "4/0"]);

  const eventually = async (what, check) => {
    for (const end = Date.now() + 15_000; ; ) {
      const info = await client.getPersistentSubscriptionToStreamInfo(stream, "workers");
      if (check(info)) return info;
      assert.ok(Date.now() < end, `${what}: ${JSON.stringify(info, (_, v) => (typeof v === "bigint" ? `${v}` : v))}`);
    }
  };
  await eventually("two events are parked", (info) => Number(info.stats.parkedMessageCount) === 2);
  await client.replayParkedMessagesToStream(stream, "workers");
  const again = client.subscribeToPersistentSubscriptionToStream(stream, "workers");
  const replayed = [];
  for await (const resolved of again) {
    replayed.push(resolved.event.data.n);
    await again.ack(resolved);
    if (replayed.length === 2) break;
  }
  await again.unsubscribe();
  assert.deepEqual(replayed.sort(), [2, 3]);
  await client.deletePersistentSubscriptionToStream(stream, "workers");
  await assert.rejects(client.getPersistentSubscriptionToStreamInfo(stream, "workers"), db.PersistentSubscriptionDoesNotExistError);
});

test("a persistent subscription to all with a filter", { timeout: 30_000 }, async () => {
  const prefix = fresh("nodeall");
  await client.createPersistentSubscriptionToAll(
    prefix, db.persistentSubscriptionToAllSettingsFromDefaults({ startFrom: db.END }),
    { filter: db.streamNameFilter({ prefixes: [prefix] }) });
  const consumer = client.subscribeToPersistentSubscriptionToAll(prefix);
  await client.appendToStream(fresh("other"), many(1, 10));
  await client.appendToStream(`${prefix}-1`, many(1, 3));
  const got = [];
  for await (const resolved of consumer) {
    got.push(resolved.event.data.n);
    await consumer.ack(resolved);
    if (got.length === 3) break;
  }
  await consumer.unsubscribe();
  assert.deepEqual(got, [1, 2, 3]);
  await client.deletePersistentSubscriptionToAll(prefix);
});
