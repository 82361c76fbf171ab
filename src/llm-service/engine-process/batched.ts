/**
 * Messages of one turn of the event loop as one: an engine that writes fast costs one message for many ids, and one that
 * computes meanwhile sends while it computes.
 */
export function batched<Message>(sendAll: (messages: readonly Message[]) => void): (message: Message) => void {
  let waiting: Message[] = [];
  const flush = () => {
    const messages = waiting;
    waiting = [];
    sendAll(messages);
  };
  return (message) => {
    if (waiting.push(message) === 1) setImmediate(flush);
  };
}
