// Does what it is told on its standard input, one JSON object a line, and answers each on its standard output.
//
// An order is `{ id, do, ... }`; its answer `{ id, ok }`, or `{ id, error }` with what the SDK threw. Orders run side by side.
import { createInterface } from "node:readline";

import * as service from "./service.mjs";

const { InvokeEndpointWithBidirectionalStreamCommand, SageMakerRuntimeClient } = service;

/** What goes up a stream: an async iterable that the SDK pulls from, one part for each `push`. */
class Feed {
    #waiting = [];
    #wake = () => {};
    #isClosed = false;

    /** Resolves when the SDK has come back for more. */
    push(part) {
        return new Promise((taken) => {
            this.#waiting.push({ part, taken });
            this.#wake();
        });
    }

    close() {
        this.#isClosed = true;
        this.#wake();
    }

    async *[Symbol.asyncIterator]() {
        for (;;) {
            while (this.#waiting.length > 0) {
                const { part, taken } = this.#waiting.shift();
                yield { PayloadPart: part };
                taken();
            }
            if (this.#isClosed) {
                return;
            }
            await new Promise((resolve) => {
                this.#wake = resolve;
            });
        }
    }
}

const clients = new Map();
const streams = new Map();

const orders = {
    client({ name, url, region, credentials, clockOffsetMs = 0 }) {
        const options = { endpoint: url, region, credentials, systemClockOffset: clockOffsetMs };
        clients.set(name, new SageMakerRuntimeClient(options));
    },

    /** Resolves as the SDK's `send` does: with the first event of the answer. */
    async invoke({ client, stream, input }) {
        const feed = new Feed();
        streams.set(stream, { feed });
        const output = await clients
            .get(client)
            .send(new InvokeEndpointWithBidirectionalStreamCommand({ ...input, Body: feed }));
        streams.set(stream, { feed, events: output.Body[Symbol.asyncIterator]() });
        return { variant: output.InvokedProductionVariant, metadata: output.$metadata };
    },

    async send({ stream, data, dataType, completionState }) {
        const bytes = data === null ? undefined : Buffer.from(data, "base64");
        await streams.get(stream).feed.push({ Bytes: bytes, DataType: dataType, CompletionState: completionState });
    },

    closeInput({ stream }) {
        streams.get(stream).feed.close();
    },

    /** The next event; `{ ended: true }` behind the last one. */
    async receive({ stream }) {
        const { value, done } = await streams.get(stream).events.next();
        if (done) {
            return { ended: true };
        }
        const { Bytes, DataType, CompletionState } = value.PayloadPart;
        return { data: Buffer.from(Bytes ?? []).toString("base64"), dataType: DataType, completionState: CompletionState };
    },

    leave() {
        for (const { feed } of streams.values()) {
            feed.close();
        }
        for (const client of clients.values()) {
            client.destroy();
        }
        // The SDK may keep connections of streams that have ended; its process would live as long as they do.
        setImmediate(() => process.stdout.end(() => process.exit(0)));
    },
};

const told = (error) => ({
    name: error.name,
    message: error.message,
    isOfService: error instanceof service.SageMakerRuntimeException,
    // Of the class that an application would catch by, not of the name alone.
    isOfClass: service[error.name] !== undefined && error instanceof service[error.name],
    status: error.$metadata?.httpStatusCode,
    requestId: error.$metadata?.requestId,
    attempts: error.$metadata?.attempts,
    code: error.ErrorCode,
    originalStatusCode: error.OriginalStatusCode,
    originalMessage: error.OriginalMessage,
});

const lines = createInterface({ input: process.stdin });
const answer = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

lines.on("line", async (line) => {
    const { id, do: what, ...rest } = JSON.parse(line);
    try {
        answer({ id, ok: (await orders[what](rest)) ?? null });
    } catch (error) {
        answer({ id, error: told(error) });
    }
});
