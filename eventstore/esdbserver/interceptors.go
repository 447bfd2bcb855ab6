package esdbserver

import (
	"context"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// unary and stream surround every call: they say who calls, and turn a panic
// into an error, because grpc-go would let it end the process.

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	defer s.recovered(ctx, info.FullMethod, &err)
	who, err := s.authenticate(ctx)
	if err != nil {
		return nil, err
	}
	return handle(withPrincipal(ctx, who), req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	ctx := ss.Context()
	defer s.recovered(ctx, info.FullMethod, &err)
	who, err := s.authenticate(ctx)
	if err != nil {
		return err
	}
	return handle(srv, &principalStream{ss, withPrincipal(ctx, who)})
}

func (s *Server) recovered(ctx context.Context, method string, err *error) {
	if p := recover(); p != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "esdbserver: a call panicked",
			slog.String("method", method), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		*err = status.Error(codes.Unknown, "Exception was thrown by handler.") // as ASP.NET says it
	}
}

type principalStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // what a ServerStream is made of
}

// Context implements [grpc.ServerStream].
func (p *principalStream) Context() context.Context { return p.ctx }
