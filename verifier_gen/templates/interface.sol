/// @title What every generated step verifier implements (the protocol's ILayerVerifier)
interface ILayerVerifier {
    function verify(bytes calldata key, uint256[] calldata inputs, bytes calldata proof)
        external
        view
        returns (bool);
}
