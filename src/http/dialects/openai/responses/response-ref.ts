import { ByteReader, ByteWriter, MalformedBytes } from '../../../../domain/bytes.ts';
import type { SealedIds } from '../../../../domain/encryption/sealed-ids.ts';
import {
  ANONYMOUS,
  ID_BYTES_MAX,
  type KeygroupId,
  type SessionId,
  type SessionKey,
  type UserId,
} from '../../../../domain/identifiers.ts';
import { mayUse, type Principal } from '../../../../domain/principals/principal.ts';
import { ANSWER_ID_BYTES, type AnswerId, answerIdFrom } from '../../../../domain/record/answer-id.ts';

/** What a response id stands for: one answer, in whose session, of which model. */
export interface ResponseRef extends SessionKey {
  readonly answerId: AnswerId;
}

/** What an item id stands for: the so-manieth item of what a response was asked, or of what it answered. */
export interface ItemRef extends ResponseRef {
  readonly side: 'in' | 'out';
  readonly index: number;
}

/** Of the items of a response, by what they are. */
export type ItemPrefix = 'msg_' | 'rs_' | 'fc_' | 'fco_';
const ITEM_PREFIXES: readonly ItemPrefix[] = ['msg_', 'rs_', 'fc_', 'fco_'];

const KEYGROUP_BYTES = 8;
const SESSION_BYTES = 16;
const VERSION = 1;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ANONYMOUS_USER = 1;
const UUID_SESSION = 2;
/** Has the form of most. */
const NOBODYS: ResponseRef = {
  keygroup: '0'.repeat(2 * KEYGROUP_BYTES) as KeygroupId,
  userId: 'nobody' as UserId,
  sessionId: '00000000-0000-4000-8000-000000000000' as SessionId,
  answerId: '0'.repeat(2 * ANSWER_ID_BYTES) as AnswerId,
};

/** The ids of responses, conversations and their items: the same at every node with the cluster's key. */
export class ResponseIds {
  readonly #ids: SealedIds;
  /** By prefix, of nobody's. */
  readonly #decoys: ReadonlyMap<string, string>;

  constructor(ids: SealedIds) {
    this.#ids = ids;
    const item = { ...NOBODYS, side: 'in', index: 0 } as const;
    this.#decoys = new Map([
      ['resp_', this.response(NOBODYS)],
      ['conv_', this.conversation(NOBODYS)],
      ['chatcmpl-', this.completion([NOBODYS])],
      ...ITEM_PREFIXES.map((prefix) => [prefix, this.item(prefix, item)] as const),
    ]);
  }

  response(ref: ResponseRef): string {
    return this.#ids.seal('resp_', refBytes(ref).view());
  }

  conversation(key: SessionKey): string {
    return this.#ids.seal('conv_', keyBytes(key).view());
  }

  item(prefix: ItemPrefix, ref: ItemRef): string {
    const writer = refBytes(ref);
    writer.byte(ref.side === 'in' ? 0 : 1);
    writer.varint(ref.index);
    return this.#ids.seal(prefix, writer.view());
  }

  /** All replies to one request, of one user and model. */
  completion([first, ...others]: readonly [ResponseRef, ...ResponseRef[]]): string {
    const writer = refBytes(first);
    for (const ref of others) {
      writeSession(ref, writer);
      writer.hex(ref.answerId, ANSWER_ID_BYTES);
    }
    return this.#ids.seal('chatcmpl-', writer.view());
  }

  openCompletion(id: string, principal: Principal): readonly ResponseRef[] | undefined {
    const opened = this.#open('chatcmpl-', id, principal, (reader) => {
      const first = readRef(reader);
      const choices = [first];
      while (reader.remaining > 0) {
        const sessionId = readSession(reader);
        choices.push({ ...first, sessionId, answerId: answerIdFrom(reader.raw(ANSWER_ID_BYTES)) });
      }
      return { ...first, choices };
    });
    return opened?.choices;
  }

  /** `undefined` for an id that no node of this cluster has given out, and for one of somebody else's session. */
  openResponse(id: string, principal: Principal): ResponseRef | undefined {
    return this.#open('resp_', id, principal, readRef);
  }

  openConversation(id: string, principal: Principal): SessionKey | undefined {
    return this.#open('conv_', id, principal, readKey);
  }

  openItem(id: string, principal: Principal): ItemRef | undefined {
    for (const prefix of ITEM_PREFIXES) {
      const ref = this.#open(prefix, id, principal, (reader): ItemRef => {
        const response = readRef(reader);
        return { ...response, side: reader.byte() === 0 ? 'in' : 'out', index: reader.varint() };
      });
      if (ref !== undefined) return ref;
    }
    return undefined;
  }

  #open<T extends SessionKey>(
    prefix: string,
    id: string,
    principal: Principal,
    read: (reader: ByteReader) => T,
  ): T | undefined {
    const opens = (content: Uint8Array) => {
      try {
        const reader = new ByteReader(content);
        const opened = read(reader);
        return reader.remaining === 0 && mayUse(principal, opened.userId) ? opened : undefined;
      } catch (error) {
        // Sealed by a later version, which knows other contents.
        if (error instanceof MalformedBytes) return undefined;
        throw error;
      }
    };
    return this.#ids.openFor(prefix, id, { read: opens, decoy: this.#decoys.get(prefix) ?? '' });
  }
}

function keyBytes({ keygroup, userId, sessionId }: SessionKey): ByteWriter {
  const writer = new ByteWriter();
  const isUuid = UUID.test(sessionId);
  writer.byte(VERSION);
  writer.byte((userId === ANONYMOUS ? ANONYMOUS_USER : 0) | (isUuid ? UUID_SESSION : 0));
  writer.hex(keygroup, KEYGROUP_BYTES);
  if (userId !== ANONYMOUS) writer.text(userId);
  if (isUuid) writer.hex(sessionId.replaceAll('-', ''), SESSION_BYTES);
  else writer.text(sessionId);
  return writer;
}

/** Of a session whose user and model are known. */
function writeSession({ sessionId }: Pick<SessionKey, 'sessionId'>, writer: ByteWriter): void {
  const isUuid = UUID.test(sessionId);
  writer.byte(isUuid ? UUID_SESSION : 0);
  if (isUuid) writer.hex(sessionId.replaceAll('-', ''), SESSION_BYTES);
  else writer.text(sessionId);
}

function readSession(reader: ByteReader): SessionId {
  const isUuid = (reader.byte() & UUID_SESSION) !== 0;
  return (isUuid ? uuid(reader.hex(SESSION_BYTES)) : reader.text(ID_BYTES_MAX)) as SessionId;
}

function refBytes(ref: ResponseRef): ByteWriter {
  const writer = keyBytes(ref);
  writer.hex(ref.answerId, ANSWER_ID_BYTES);
  return writer;
}

function readKey(reader: ByteReader): SessionKey {
  if (reader.byte() !== VERSION) throw new MalformedBytes('an id of another version');
  const flags = reader.byte();
  const keygroup = reader.hex(KEYGROUP_BYTES) as KeygroupId;
  const userId = (flags & ANONYMOUS_USER) !== 0 ? ANONYMOUS : (reader.text(ID_BYTES_MAX) as UserId);
  const sessionId = (flags & UUID_SESSION) !== 0 ? uuid(reader.hex(SESSION_BYTES)) : reader.text(ID_BYTES_MAX);
  return { keygroup, userId, sessionId: sessionId as SessionId };
}

function readRef(reader: ByteReader): ResponseRef {
  const key = readKey(reader);
  return { ...key, answerId: answerIdFrom(reader.raw(ANSWER_ID_BYTES)) };
}

function uuid(hex: string): string {
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
