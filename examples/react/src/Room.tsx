import { useChannel, useNotification } from 'ara-client/react'
import { type FormEvent, useState } from 'react'
import { ara } from './ara.ts'

/** A message to a channel reaches the clients that are subscribed, and is not kept. */
export function Room({ name }: { readonly name: string }) {
  const [lines, setLines] = useState<readonly { readonly id: string; readonly text: string }[]>([])
  const [text, setText] = useState('')
  const [error, setError] = useState<string>()

  useChannel(ara, name)
  useNotification(ara, 'room.message', ({ id, payload }) => {
    if (payload.room !== name) return
    setLines(before => [...before, { id, text: `${payload.from}: ${payload.text}` }].slice(-100))
  })

  const say = async (event: FormEvent) => {
    event.preventDefault()
    const query = new URLSearchParams({ room: name, text })
    const response = await fetch(`/say?${query}`, { method: 'POST' }).catch(() => undefined)
    setError(response?.ok ? undefined : 'not sent, please try again')
    if (response?.ok) setText('')
  }

  return (
    <section>
      <h2>{name}</h2>
      <ul aria-label={name}>
        {lines.map(({ id, text }) => (
          <li key={id}>{text}</li>
        ))}
      </ul>
      <form onSubmit={say}>
        <input aria-label="Message" value={text} onChange={event => setText(event.target.value)} required />
        <button type="submit">Say</button>
      </form>
      {error && <p role="alert">{error}</p>}
    </section>
  )
}
