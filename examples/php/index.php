<?php

declare(strict_types=1);

require __DIR__ . '/Ara.php';

$ara = new Ara(
    url: getenv('ARA_URL') ?: 'http://localhost:8081',
    apiKey: getenv('API_KEY') ?: '',
    secret: getenv('JWT_SECRET') ?: throw new RuntimeException('set JWT_SECRET'),
);
$user = 'alice'; // Replace this by the user of your session.

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$order = $_GET['order'] ?? '';

if ($_SERVER['REQUEST_METHOD'] === 'GET' && $path === '/token') {
    echo $ara->token($user);
} elseif ($_SERVER['REQUEST_METHOD'] === 'POST' && $path === '/ship' && ctype_digit($order)) {
    $message = ['target_user_id' => $user, 'event_type' => 'order.shipped', 'payload' => ['order' => (int) $order]];
    try {
        // The key stands for the event: however often this runs, the user gets one notification.
        echo json_encode($ara->send('send', $message, key: "order-$order-shipped"));
    } catch (AraError $error) {
        error_log($error->getMessage());
        http_response_code(502);
        echo $error->errorCode;
    }
} else {
    http_response_code(404);
}
