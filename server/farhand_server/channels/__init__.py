"""How people reach the desk besides mail: chats, calls, visits."""
